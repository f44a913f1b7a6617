"""How the Portal is, all at once, for ``portal-proxy status``: its apps, its contacts, its files.

No more contacts than fit on a page of moderate size are told, those first that were heard of last;
of no more than a few it is asked whether they can be reached.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata

from proxy.config.certificate import CertificateWatch
from proxy.core.access.policy import Contact
from proxy.http.client.look import UpstreamLooks
from proxy.outbound.reachability import Reachability
from proxy.portal import Portal
from proxy.server.listener import Listener
from proxy.state.acme_files import read_failure
from proxy.state.layout import State
from proxy.transfer.last_calls import LastCall

MOST_CONTACTS = 500
MOST_ASKED = 32

Calls = tuple[LastCall | None, LastCall | None]
"""The last one in, and the last one out."""


@dataclass(frozen=True)
class Status:
    """What one running proxy tells."""

    portal: Portal
    reachability: Reachability
    listeners: Callable[[], Sequence[Listener]]
    certificate: CertificateWatch | None
    waiting: Callable[[], Mapping[str, object]]
    not_well: Callable[[], tuple[str, ...]]
    began: float
    """When it was started, in Unix seconds."""
    workers: int
    looks: UpstreamLooks

    async def members(self) -> Mapping[str, object]:
        """Return all of it, as the members of a JSON object."""
        portal = self.portal
        apps, contacts = await asyncio.gather(self._apps(), self._contacts())
        version = await asyncio.to_thread(metadata.version, "portal-proxy")  # it is in a file
        found = self.not_well()
        return {
            "status": "degraded" if found else "ok",
            "problems": list(found),
            "id": portal.id,
            "name": portal.config.name,
            "address": str(portal.hosts.origin),
            "version": version,
            "process": os.getpid(),
            "workers": self.workers,
            "started": int(self.began),
            "now": int(portal.clock()),
            "waiting": self.waiting(),
            "listeners": {
                each.name: {"address": each.where, "connections": each.connections}
                for each in self.listeners()
            },
            "certificate": await self._certificate(),
            "apps": apps,
            **contacts,
        }

    async def _certificate(self) -> Mapping[str, object] | None:
        if self.certificate is None:
            return None
        used, now = self.certificate.in_use, self.portal.clock()
        return {
            "file": used.file,
            "names": sorted(used.names),
            "ends": int(used.ends),
            "problems": [str(problem) for problem in self.certificate.problems_at(now)],
            "renewal": await self._renewal(),
        }

    async def _renewal(self) -> Mapping[str, object] | None:
        """Return what the last try to renew it came to; None where that is the owner's business."""
        config = self.portal.config
        if config.acme is None:
            return None
        path = State(config.state).acme_failure
        failure = await asyncio.to_thread(read_failure, path)  # whichever worker noted it
        return {"directory": config.acme.directory, "failure": failure and asdict(failure)}

    async def _apps(self) -> Mapping[str, object]:
        apps = dict(sorted(self.portal.apps.items()))
        found = await self.looks.findings({name: app.upstream for name, app in apps.items()})
        return {
            name: {
                "upstream": str(app.upstream),
                "answer": found[name],
                "entrance": str(app.entrance) if app.entrance else None,
            }
            for name, app in apps.items()
        }

    async def _contacts(self) -> Mapping[str, object]:
        known = self.portal.contacts.available
        if known is None:
            return {"contacts": None, "contacts_in_all": None}
        # In a thread: of many thousands it takes a while, and nobody is to wait for it meanwhile.
        calls, told = await asyncio.to_thread(self._heard_of_last, known.peers)
        reachable = await self.reachability.of(told[:MOST_ASKED])
        return {
            "contacts": [
                _about(contact, calls[contact.id], reachable.get(contact.id)) for contact in told
            ],
            "contacts_in_all": len(known.peers),
        }

    def _heard_of_last(
        self, contacts: Sequence[Contact]
    ) -> tuple[Mapping[str, Calls], Sequence[Contact]]:
        calls = self.portal.last_calls.calls.of(contact.id for contact in contacts)
        latest = sorted(contacts, key=lambda contact: _last_heard(calls[contact.id]), reverse=True)
        return calls, latest[:MOST_CONTACTS]


def _about(
    contact: Contact,
    calls: Calls,
    reachable: bool | None,  # noqa: FBT001 - as it is told
) -> Mapping[str, object]:
    came, went = calls
    return {
        "id": contact.id,
        "name": contact.name,
        "address": contact.address,
        "mode": contact.mode,
        "last_in": _call(came),
        "last_out": _call(went),
        "reachable": reachable,
    }


def _call(call: LastCall | None) -> Mapping[str, object] | None:
    return None if call is None else {"at": int(call.at), "answered": call.answered}


def _last_heard(calls: Calls) -> float:
    return max((call.at for call in calls if call is not None), default=0.0)
