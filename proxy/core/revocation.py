"""What a running exchange lives on, and whether that is still there: a removal ends what runs.

Removals alone (of a terminal its end, too): an app whose rules change, or a contact that is
renamed, moves or is called in another mode, is there as before, and what began goes on.
"""

from typing import Literal, NamedTuple

from proxy.core.errors import Code, Refusal
from proxy.core.gate import Site
from proxy.core.access.policy import Caller


class Ground(NamedTuple):
    """What one exchange lives on; equal ones stand and fall together."""

    direction: Literal["in", "out"]
    """``out`` is a call of an app's."""
    app: str | None
    """The app that is called, or calls; None is the Portal itself."""
    kind: Literal["anonymous", "peer", "terminal"]
    """Who is at the other end: the caller, or the peer that is called."""
    id: str = ""
    """That one's full ID; "" where there is none."""


def ground_of_request(caller: Caller, app: str | None) -> Ground:
    """Return what a request of ``caller`` for ``app`` lives on."""
    return Ground("in", app, caller.type, caller.id)


def ground_of_call(app: str | None, portal_id: str = "") -> Ground:
    """Return what a call of ``app`` to that peer lives on; without one, a question to ourselves."""
    return Ground("out", app, "peer" if portal_id else "anonymous", portal_id)


def loss(ground: Ground, site: Site, now: float) -> Refusal | None:
    """Return why an exchange may not go on, as the refusal that a new one gets; None if it may.

    ``now`` is in Unix seconds. A terminal loses what it has on public paths, too: the app was told
    who it is.
    """
    if ground.direction == "out":
        return _loss_of_call(ground, site)
    if ground.kind == "peer" and (lost := _loss_of_peer(ground, site)):
        return lost
    if ground.app is not None and ground.app not in site.apps:
        return Refusal(Code.NO_SUCH_APP, f"{ground.app} was removed")
    if ground.kind == "terminal":
        terminal = site.terminals.find(ground.id)
        if terminal is None or not terminal.is_valid(now):
            return Refusal(Code.PROOF_REQUIRED, f"{ground.id} isn't a terminal any more")
    return None


def _loss_of_peer(ground: Ground, site: Site) -> Refusal | None:
    """Look for a contact that is gone, or hidden from an app that is still there."""
    if site.contacts.find(ground.id) is None:
        return Refusal(Code.NOT_ALLOWED, f"{ground.id} isn't a contact any more")
    app = ground.app
    if app is not None and app in site.apps and not site.contacts.may_know(app, ground.id):
        return Refusal(Code.NOT_ALLOWED, f"{app} may not know {ground.id} any more")
    return None


def _loss_of_call(ground: Ground, site: Site) -> Refusal | None:
    app = ground.app
    if app is None:
        return None
    if app not in site.apps:
        return Refusal(Code.TOKEN_UNKNOWN, f"{app} was removed")
    if ground.id and not site.contacts.may_know(app, ground.id):
        return Refusal(Code.NO_SUCH_PEER, f"{app} may not know {ground.id} any more")
    return None
