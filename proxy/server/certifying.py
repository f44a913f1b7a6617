"""The proxy's own certificate: the listener at port 80, and the renewal of what it certifies.

One of several workers does it. The certificate is written to a file; that it changed is noticed by
whoever follows it, as with any other (``proxy.config.certificate``). Nothing that goes wrong here
ends what is served: the certificate in use is good for weeks when the first try is made.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import random

from proxy.acme.challenges import ChallengeApp, Challenges
from proxy.acme.issuing import NotIssued, issue
from proxy.acme.order import Order, path_beside
from proxy.config.acme import CHALLENGES
from proxy.config.certificate import Certificate, load_certificate
from proxy.config.limits import Limits
from proxy.config.portal_yaml import Config
from proxy.core.certificate_renewal import FIRST_WAIT, due_at, may_try, wait_after
from proxy.core.errors import Invalid
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.server.listener import Listener
from proxy.server.sockets import ListeningSocket
from proxy.state.acme_files import Failure, forget_failure, read_failure, write_failure
from proxy.state.files import make_private_folder
from proxy.state.layout import State
from proxy.state.schema import version_problems
from proxy.state.system_errors import explained
from proxy.transfer.access_log import Logged
from proxy.transfer.catch_all import CatchAll
from proxy.transfer.limiters import ConnectionLimiter

LIMITS = Limits(connections=64, connections_per_address=16, refused_at_once=4)
"""Of the listener at port 80: an authority needs a handful of connections in two months."""
_TIMEOUTS = ConnectionTimeouts(head=10.0, idle=5.0, body=5.0, send=10.0)
_LONGEST_SLEEP = 60.0
"""Seconds until the clock is looked at again, which somebody may set."""
_SHORTEST_SLEEP = 1.0

log = logging.getLogger("proxy.certificate")


def order_of(config: Config, portal_id: str) -> Order:
    """Return what an authority is asked for; only where portal.yaml says ``acme``."""
    acme, state = config.acme, State(config.state)
    if acme is None:
        raise ValueError("portal.yaml asks for no certificate")
    return Order(
        acme.directory,
        acme.email,
        config.certified(portal_id),
        path_beside(state.acme, state.acme_account.name),
        path_beside(state.acme, state.acme_certificate.name),
        str(acme.authorities.absolute()) if acme.authorities is not None else None,
    )


def why_due(certificate: Certificate | None, order: Order, now: float, chance: float) -> str:
    """Return why a new certificate is needed; "" while the one that is there will do."""
    if certificate is None:
        return "there is none that can be read"
    missing = [name for name in order.names if not certificate.covers(name)]
    if missing:
        return f"it isn't for {', '.join(missing)}"
    if now >= due_at(certificate.begins, certificate.ends, chance):
        return "it is old enough"
    return ""


def read_certificate(order: Order) -> Certificate | None:
    """Return the certificate that is there; waits for the disk."""
    path = Path(order.certificate)
    try:
        return load_certificate(path, path)
    except Invalid:
        return None


def note_failure(path: Path, reason: str, now: float, chance: float) -> Failure:
    """Keep why a try failed, and when the next one may be; raises ``OSError``."""
    before = read_failure(path)
    times = before.times + 1 if before is not None else 1
    failure = Failure(reason, int(now), times, int(now + wait_after(times, chance)))
    make_private_folder(path.parent)
    write_failure(path, failure)
    return failure


def challenge_listener(
    challenges: Challenges, config: Config, portal_id: str, listening: ListeningSocket
) -> Listener:
    """Return the listener by which an authority finds what it was promised."""
    app = ChallengeApp(challenges, config.certified(portal_id), config.public_origin(portal_id))
    logged = Logged(CatchAll(app), CHALLENGES)
    return Listener(CHALLENGES, logged, listening, _TIMEOUTS, ConnectionLimiter(LIMITS))


async def certify_once(config: Config, portal_id: str, listening: ListeningSocket) -> None:
    """Get a certificate where no proxy runs; raises ``NotIssued``."""
    challenges = Challenges()
    listener = challenge_listener(challenges, config, portal_id, listening)
    listener.begin()
    try:
        await issue(order_of(config, portal_id), challenges, listener.where)
    finally:
        await listener.break_off()


class Certifying:
    """Keeps one Portal's certificate new."""

    def __init__(
        self,
        config: Config,
        portal_id: str,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random,
    ) -> None:
        self._config = config
        self._id = portal_id
        self._order = order_of(config, portal_id)
        self._state = config.state
        self._note = State(config.state).acme_failure
        self._clock = clock
        self._chance = chance
        self._spread = chance()
        """By which part the renewal is early; the same while this process runs."""
        self._challenges = Challenges()
        self._where = str(config.acme.listen) if config.acme else ""
        self._task: asyncio.Task[None] | None = None
        self._unwritten: Failure | None = None
        """The last failure where the disk takes none."""

    def begin(self, listening: ListeningSocket) -> Listener:
        """Renew from now on; return the listener at which an authority looks."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        return challenge_listener(self._challenges, self._config, self._id, listening)

    async def end(self) -> None:
        """Leave what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        while True:
            try:
                wait = await self.look()
            except Exception:
                log.exception("the certificate can't be looked after")
                wait = _LONGEST_SLEEP
            await asyncio.sleep(min(max(wait, _SHORTEST_SLEEP), _LONGEST_SLEEP))

    async def look(self) -> float:
        """Renew the certificate if it is due; return the seconds until the next look."""
        certificate = await asyncio.to_thread(read_certificate, self._order)
        now = self._clock()
        why = why_due(certificate, self._order, now, self._spread)
        if not why:
            if certificate is None:
                return _LONGEST_SLEEP
            return due_at(certificate.begins, certificate.ends, self._spread) - now
        failure = await asyncio.to_thread(read_failure, self._note) or self._unwritten
        if failure is not None and not may_try(now, failure.next_try):
            return failure.next_try - now
        if await asyncio.to_thread(list, version_problems(self._state)):
            return _LONGEST_SLEEP  # the state is a later program's, which sees to it
        log.info("a new certificate is asked for: %s", why)
        try:
            await issue(self._order, self._challenges, self._where)
        except NotIssued as error:
            return await self._note_failure(str(error))
        log.info("%s certified %s", self._order.directory, ", ".join(self._order.names))
        self._unwritten = None
        with suppress(OSError):  # then it is replaced by the next failure
            await asyncio.to_thread(forget_failure, self._note)
        return _SHORTEST_SLEEP

    async def _note_failure(self, reason: str) -> float:
        now, chance = self._clock(), self._chance()
        try:
            failure = await asyncio.to_thread(note_failure, self._note, reason, now, chance)
        except OSError as error:
            log.error("%s can't be written: %s", self._note, explained(error))  # noqa: TRY400
            failure = Failure(reason, int(now), 1, int(now + FIRST_WAIT))
            self._unwritten = failure
        wait = failure.next_try - now
        what = "no new certificate: %s; it is tried again in %d minutes"
        log.error(what, reason, max(1, round(wait / 60)))
        return wait
