"""The composition root: puts one running proxy together, keeps it up to date, and ends it."""

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.types import ASGIApp

from proxy.call import Courier
from proxy.catalogue_watch import CatalogueWatch
from proxy.config import Config
from proxy.contacts import ContactStore, ContactWatch
from proxy.core.errors import Invalid, Problem
from proxy.directory import Directory
from proxy.guard import Guard
from proxy.hop.engine import HopUpstream
from proxy.inbound import Inbound
from proxy.keyring import load_identity
from proxy.outbound import Outbound
from proxy.owner import owner_app
from proxy.portal import Portal
from proxy.replay import ReplayStore
from proxy.server import Listener
from proxy.service import peer_service
from proxy.state import State
from proxy.storage import Busy, Unsafe
from proxy.tokens import TokenStore
from proxy.upstream import Upstream

log = logging.getLogger("proxy")

TICK = 0.5
"""Seconds between two looks at the files that change; each change is followed within a second."""


@dataclass
class Running:
    """The parts of one proxy that are opened, kept up to date and closed together."""

    portal: Portal
    tokens: TokenStore
    replays: ReplayStore
    upstream: Upstream = field(default_factory=HopUpstream)
    undelivered: tuple[Problem, ...] = ()
    """Tokens that couldn't be written where their apps look for them."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the files just now."""
        found = (self.portal.catalogue.current.problems, self.portal.contacts.problems)
        return (*found[0], *found[1], *self.undelivered)

    def listeners(self) -> tuple[Listener, ...]:
        """Bind every listener, with its app behind it; raises ``OSError``."""
        portal, listen = self.portal, self.portal.config.listen
        directory = Directory(self.upstream, portal.clock)
        courier = Courier(portal.key, self.upstream, directory, portal.clock)
        service = peer_service(portal, directory)
        bound: list[Listener] = []
        rooms: tuple[tuple[str, ASGIApp, str], ...] = (
            ("public", Inbound(portal, self.upstream, self.replays), str(listen.public)),
            ("apps", Outbound(portal, courier, self.tokens, service), str(listen.apps)),
            ("owner", owner_app(portal, self.problems), str(listen.owner)),
        )
        addresses = (listen.public, listen.apps, listen.owner)
        for (name, app, where), address in zip(rooms, addresses, strict=True):
            try:
                bound.append(Listener(name, Guard(app), address))
            except OSError as error:
                raise OSError(f"the {name} listener can't use {where}: {error}") from None
        return tuple(bound)

    async def follow_files(self) -> None:
        """Follow what changes on disk and show the replay store alive, until cancelled.

        What goes wrong with one file is logged and never ends the following of the others: a
        contact that was removed must not stay one because some folder couldn't be read.
        """
        complaint = ""
        while True:
            await asyncio.sleep(TICK)
            for follow in (self.portal.contacts.refresh, self._follow_apps_and_tokens):
                try:
                    follow()
                except (OSError, Invalid, Unsafe, Busy) as error:
                    if str(error) != complaint:
                        complaint = str(error)
                        log.error("a file can't be followed: %s", error)  # noqa: TRY400
            self.replays.keep_alive(self.portal.clock())

    def _follow_apps_and_tokens(self) -> None:
        apps, tokens = self.portal.follow_apps(), self.tokens.refresh()
        if apps or tokens:
            self.deliver_tokens()

    def deliver_tokens(self) -> None:
        """Write each app's token where its proxy.yaml asks for it."""
        undelivered = []
        for name, app in self.portal.apps.items():
            try:
                if app.token_file is not None and self.tokens.deliver(name, app.token_file):
                    log.info("wrote the token of %s to %s", name, app.token_file)
                else:
                    self.tokens.token(name)
            except (OSError, Invalid, Unsafe, Busy) as error:
                log.error("no token for %s: %s", name, error)  # noqa: TRY400 - not our own mistake
                undelivered.append(Problem(name, "token_file", str(error)))
        self.undelivered = tuple(undelivered)

    async def close(self) -> None:
        """Close what was opened."""
        await self.upstream.close()
        self.replays.close()


def compose(config: Config) -> Running:
    """Open everything a proxy needs; raises ``Invalid``."""
    state = State(config.state)
    store = ContactStore(state.contacts, config.domain)
    store.load()  # a first list must be good; later, a broken one keeps the last good one
    catalogue = CatalogueWatch(config.folder)
    portal = Portal(config, load_identity(state.identity_key), ContactWatch(store), catalogue)
    replays = ReplayStore(state.replays)
    replays.open(portal.clock())
    return Running(portal, TokenStore(state.tokens), replays)


def serve(config: Config) -> int:
    """Run the proxy until SIGINT or SIGTERM; returns the exit status."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return asyncio.run(_serve(config))
    except OSError as error:
        log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
        return 1


async def _serve(config: Config) -> int:
    running = compose(config)
    try:
        listeners = running.listeners()
        running.deliver_tokens()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            for listener in listeners:
                listener.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        follower = asyncio.create_task(running.follow_files())
        log.info("Portal %s at %s", running.portal.id, running.portal.hosts.origin)
        for listener in listeners:
            log.info("%s listener: %s", listener.name, listener.where)
        try:
            await asyncio.gather(*(listener.run_until_stopped() for listener in listeners))
        finally:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower
    finally:
        await running.close()
    return 0
