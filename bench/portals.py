"""Portals as subjects: a public hop, the two hops of a call, and each of these two alone."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import portal
from bench.crew import ROOT, Crew, Member
from bench.endpoint import LOOPBACK, Endpoint
from bench.portal import PEERS, PUBLIC, Paths, Portal
from bench.signing import PeerSigner
from bench.subjects import Apps, Running, Start
from proxy.core.access.policy import Mode
from proxy.core.identity import PrivateKey

PAGES, TAKER = "pages", "taker"
"""The names of the two apps."""
_LOAD = PrivateKey(secrets.token_bytes(32))
"""The key of the load itself, where it is a peer."""


def public_hop(crew: Crew, apps: Apps, tree: Path = ROOT) -> Running:
    """Start a Portal whose apps are open to everybody; raises ``NotStarted``.

    Here and below ``tree`` is the copy of this project whose code it runs.
    """
    ada = with_apps(portal.make(crew, "Ada", tree=tree), apps, PUBLIC)
    return Running(ada.way_in(PAGES), ada.way_in(TAKER), portal.serve(crew, ada))


def two_public_hops(crew: Crew, apps: Apps) -> Running:
    """Start two Portals, the second one as the app behind the first; raises ``NotStarted``."""
    ada = portal.make(crew, "Ada")
    bob = with_apps(portal.make(crew, "Bob", alias=ada.host), apps, PUBLIC)
    for name in (PAGES, TAKER):
        ada.add_app(name, bob.public, PUBLIC)
    return Running(ada.way_in(PAGES), ada.way_in(TAKER), portal.serve(crew, ada, bob))


def two_hops(mode: Mode, tree: Path = ROOT) -> Start:
    """Return how to start a call's two hops: an app of Ada's calls itself at Bob's."""
    return partial(_two_hops, mode, tree)


def signing_hop(crew: Crew, apps: Apps, tree: Path = ROOT) -> Running:
    """Start a Portal whose peer signs its responses, and is nothing else; raises ``NotStarted``."""
    ada = with_apps(portal.make(crew, "Ada", tree=tree), apps, PEERS)
    peer, answerer = _answerer(crew)
    ada.knows(portal.contact(peer, "Peer", answerer.port, "signed"), apps=(PAGES, TAKER))
    endpoints = _ways_out(ada, peer.public.portal_id)
    return Running(*endpoints, portal.serve(crew, ada), (answerer,))


def direct_to_peer(crew: Crew, _apps: Apps) -> Running:
    """Start that peer alone, asked with requests that were signed before; raises ``NotStarted``."""
    peer, answerer = _answerer(crew)
    endpoint = Endpoint(answerer.port, f"{LOOPBACK}:{answerer.port}")
    to = peer.public.portal_id
    pages, taker = (_signed(endpoint, to, app, lambda: None) for app in (PAGES, TAKER))
    return Running(pages, taker, (), (answerer,))


def verifying_hop(crew: Crew, apps: Apps, tree: Path = ROOT) -> Running:
    """Start a Portal that is called by the load, a peer of its; raises ``NotStarted``."""
    bob = portal.make(crew, "Bob", tree=tree)
    endpoints = loads_peer(bob, apps)
    return Running(*endpoints, portal.serve(crew, bob))


def loads_peer(bob: Portal, apps: Apps) -> tuple[Endpoint, Endpoint]:
    """Make a Portal the load's peer; return where the load calls its two apps."""
    with_apps(bob, apps, PEERS)
    bob.knows(portal.contact(_LOAD, "Load", 1, "signed"), apps=(PAGES, TAKER))
    pages, taker = (_signed(bob.way_in(app), bob.id, app, bob.epoch) for app in (PAGES, TAKER))
    return pages, taker


def with_apps(made: Portal, apps: Apps, paths: Paths) -> Portal:
    """Give a Portal the two apps; return it."""
    made.add_app(PAGES, apps.pages.port, paths)
    made.add_app(TAKER, apps.taker.port, paths)
    return made


def _two_hops(mode: Mode, tree: Path, crew: Crew, apps: Apps) -> Running:
    ada = with_apps(portal.make(crew, "Ada", tree=tree), apps, PEERS)
    bob = with_apps(portal.make(crew, "Bob", tree=tree), apps, PEERS)
    ada.knows(bob.as_contact(mode), apps=(PAGES, TAKER))
    bob.knows(ada.as_contact(mode), apps=(PAGES, TAKER))
    return Running(*_ways_out(ada, bob.id), portal.serve(crew, ada, bob))


def _ways_out(ada: Portal, peer: str) -> tuple[Endpoint, Endpoint]:
    return ada.way_out(PAGES, peer), ada.way_out(TAKER, peer)


def _signed(endpoint: Endpoint, to: str, app: str, epoch: Callable[[], bytes | None]) -> Endpoint:
    """Return the endpoint as the load asks there, a peer."""
    return replace(endpoint, signer=PeerSigner(_LOAD, to, app, endpoint.host, epoch))


def _answerer(crew: Crew) -> tuple[PrivateKey, Member]:
    """Start a peer that signs responses; return its key too."""
    seed = secrets.token_bytes(32)
    return PrivateKey(seed), crew.start_python("answerer", seed.hex(), measured=False)
