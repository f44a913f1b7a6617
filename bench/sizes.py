"""Two Portals with many contacts, apps or rules, and three ways to ask them."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace

from bench import portal
from bench.crew import Crew, Member
from bench.endpoint import Endpoint
from bench.portal import Paths
from bench.signing import PeerSigner
from bench.subjects import Apps, Running
from proxy.core.access.policy import Contact
from proxy.core.identity import PrivateKey, encode_base32

_APP = "pages"
_BASE: Paths = {"": {"access": "peer"}, "/open": {"access": "public"}}


def with_peers(crew: Crew, apps: Apps, count: int) -> Mapping[str, Running]:
    """Start Portals that have ``count`` contacts each; raises ``NotStarted``."""
    return _start(crew, apps, strangers=count - 1)


def with_apps(crew: Crew, apps: Apps, count: int) -> Mapping[str, Running]:
    """Start Portals that have ``count`` apps each; raises ``NotStarted``."""
    return _start(crew, apps, more_apps=count - 1)


def with_rules(crew: Crew, apps: Apps, count: int) -> Mapping[str, Running]:
    """Start Portals whose app has ``count`` rules beside the two that the load needs.

    No two of their prefixes are equally long: that costs the most. Raises ``NotStarted``.
    """
    rule = {"access": "peer", "headers": {"X-Ptl-Client-Id": "{{ client_id }}"}}
    rules = {"/" + "r" * (number + 1): rule for number in range(count)}
    return _start(crew, apps, rules=rules)


def _start(
    crew: Crew,
    apps: Apps,
    *,
    strangers: int = 0,
    more_apps: int = 0,
    rules: Paths | None = None,
) -> Mapping[str, Running]:
    ada, bob = portal.make(crew, "Ada"), portal.make(crew, "Bob")
    load = PrivateKey(secrets.token_bytes(32))
    for one in (ada, bob):
        one.add_app(_APP, apps.pages.port, {**_BASE, **(rules or {})})
        for number in range(more_apps):
            one.add_app(f"app{number}", apps.pages.port, _BASE)
    others = tuple(_stranger(number) for number in range(strangers))
    caller = portal.contact(load, "Load", 1, "signed")
    ada.knows(*others, bob.as_contact("sealed"), apps=(_APP,))
    bob.knows(*others, ada.as_contact("sealed"), caller, apps=(_APP,))
    out, way_in = ada.way_out(_APP, bob.id), bob.way_in(_APP)
    signer = PeerSigner(load, bob.id, _APP, way_in.host, bob.epoch)
    members = portal.serve(crew, ada, bob)
    return {
        "two hops, sealed": _asked(out, members),
        "verifying hop": _asked(replace(way_in, signer=signer), members[1:]),
        "public hop": _asked(replace(way_in, prefix="/open"), members[1:]),
    }


def _asked(endpoint: Endpoint, members: tuple[Member, ...]) -> Running:
    return Running(endpoint, endpoint, members)


def _stranger(number: int) -> Contact:
    """Return a contact that nobody calls; its address is left to be derived."""
    digest = hashlib.sha512(str(number).encode("ascii")).digest()
    return Contact(encode_base32(digest), f"Peer {number}", "")
