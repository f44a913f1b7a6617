"""The listeners: sockets of ours or inherited, TLS, and how they end.

Each connection is accepted here, with the certificate of that moment. At the end nobody is lost who
was let in: the queue is emptied before the socket is closed, and who asked gets a response
(docs/decisions/0017-listeners.md).
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

import uvicorn
from uvicorn.server import ServerState

from proxy.config.limits import Limits
from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import NOBODY, Trusted, client_network
from proxy.http.server.last_response import Refusing, last_response
from proxy.http.server.protocol import ServerConnection
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.http.tls.handshakes import HandshakeLimiter
from proxy.http.tls.opening import accept
from proxy.server.sockets import ListeningSocket
from proxy.transfer.limiters import ConnectionLimiter, Full

LAST_CALL = 0.1
"""Seconds for connections that are being made when the listener stops."""
LOOK = 0.02
"""Seconds between two looks whether all connections have ended."""
_BURST = 128
"""Connections that are accepted before anything else runs."""
_OUT_OF_DESCRIPTORS = 1.0
"""Seconds without accepting, where the process may open no more."""
_UNWINDING = 1.0
"""Seconds in which cancelled tasks can end."""
HANDSHAKES_AT_ONCE = 64
"""TLS handshakes of one client's network that run; the others wait, within their time."""
_QUIET = 10.0
"""Seconds between two messages of the log about them."""
_FULL = last_response(Refusal(Code.TOO_MANY_CONNECTIONS))

log = logging.getLogger("proxy.server")

TlsSource = Callable[[], ssl.SSLContext]


class Listener:
    """One listening socket and the ASGI app behind it."""

    def __init__(
        self,
        name: str,
        app: Any,  # noqa: ANN401 - ASGI
        listening: ListeningSocket,
        timeouts: ConnectionTimeouts,
        limiter: ConnectionLimiter,
        tls: TlsSource | None = None,
    ) -> None:
        """``tls`` gives what a connection that comes now is accepted with; None is plain HTTP."""
        self.name = name
        self.listening = listening
        self._timeouts = timeouts
        self._limiter = limiter
        self._tls = tls
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            http=ServerConnection,  # type: ignore[arg-type]  # any protocol
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,  # it would believe them from loopback
        )
        self._config.load()
        # One class for all of the listener's connections: an attribute for each would be dearer.
        is_short = staticmethod(limiter.is_short)
        shared = {"__slots__": (), "timeouts": timeouts, "ask_short": is_short}
        self._connection = cast(
            type[ServerConnection],
            type("Connection", (ServerConnection,), shared),
        )
        self._state = ServerState()
        self._app_state: dict[str, Any] = {}
        self._handshakes = HandshakeLimiter(HANDSHAKES_AT_ONCE)
        self._arriving: set[asyncio.Task[None]] = set()
        self._refused: dict[Refusing, None] = {}
        """Connections that are being refused, the oldest first."""
        self._silent_until = 0.0
        self._is_ending = False
        self.is_held: Callable[[], bool] = lambda: False
        """Tells whether connections are to be taken a moment later."""

    def take_settings(self, timeouts: ConnectionTimeouts, limits: Limits, trusted: Trusted) -> None:
        """Go by these from the next connection on."""
        self._timeouts = self._connection.timeouts = timeouts
        self._limiter.take_settings(limits, trusted)

    @property
    def where(self) -> str:
        """The bound address, as a person would type it."""
        address = self.listening.address
        if address.startswith("unix:"):
            return address
        return f"http{'s' if self._tls else ''}://{address}"

    @property
    def connections(self) -> int:
        """How many clients' connections are open."""
        return len(self._limiter)

    @property
    def is_idle(self) -> bool:
        """Whether no connection is left."""
        return not (self._arriving or self._state.connections or self._state.tasks)

    def begin(self) -> None:
        """Take connections from now on."""
        asyncio.get_running_loop().add_reader(self.listening.socket, self._accept)

    async def end(self) -> None:
        """Take who is in the queue and nobody else; then wait until the last has its response."""
        loop = asyncio.get_running_loop()
        if not self.listening.is_inherited:
            self.listening.stop_accepting()
            await asyncio.sleep(LAST_CALL)
            while self._accept_one():
                pass
        loop.remove_reader(self.listening.socket)
        self.listening.close()
        self._is_ending = True
        for connection in self._connections():
            connection.shutdown()
        for refusing in self._refused:
            refusing.shutdown()
        while not self.is_idle:  # noqa: ASYNC110 - a set that protocols leave has no event
            await asyncio.sleep(LOOK)

    async def break_off(self) -> None:
        """End at once whatever still runs."""
        if not self._is_ending:
            asyncio.get_running_loop().remove_reader(self.listening.socket)
            self.listening.close()
            self._is_ending = True
        running = [*self._arriving, *self._state.tasks]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_UNWINDING)
        for connection in self._connections():
            connection.break_off()
        await asyncio.sleep(0)  # their ends are told in the event loop's next turn
        for connection in self._connections():
            connection.cut_short()  # what a WebSocket's client said last isn't waited for

    # Taking connections.

    def _accept(self) -> None:
        if self.is_held():
            loop = asyncio.get_running_loop()
            loop.remove_reader(self.listening.socket)
            loop.call_later(LOOK, self._resume)
            return
        # One at a time where others look too: else the first to wake up would have them all.
        for _ in range(1 if self.listening.is_shared else _BURST):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Take a connection from the queue; tell whether there may be another one."""
        try:
            accepted, address = self.listening.socket.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            self._pause(error)
            return False
        accepted.setblocking(False)  # noqa: FBT003 - the socket API
        client = address[0] if isinstance(address, tuple) else ""
        try:
            leave = self._limiter.enter(client)
        except Full as full:
            self._refuse(accepted, client, full)
        else:
            self._start(self._serve(accepted, client, leave))
        return True

    def _start(self, arriving: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(arriving)
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    def _pause(self, error: OSError) -> None:
        """Leave the others in the queue for a while: asking again at once would be all we do."""
        log.error("the %s listener can't take a connection: %s", self.name, error)
        loop = asyncio.get_running_loop()
        if not self._is_ending:
            loop.remove_reader(self.listening.socket)
            loop.call_later(_OUT_OF_DESCRIPTORS, self._resume)

    def _resume(self) -> None:
        if not self._is_ending:
            self.begin()

    async def _serve(self, accepted: socket.socket, client: str, leave: Callable[[], None]) -> None:
        """Make a connection of an accepted socket; a handshake holds nobody else up.

        ``leave`` is called when it has ended, or couldn't be made.
        """
        protocol = self._connection(self._config, self._state, self._app_state)
        protocol.on_end = leave
        protocol.client = client
        try:
            await self._connect(accepted, client, protocol, self._timeouts.head)
        except OSError as error:  # ssl.SSLError is one
            who = client or "a client"
            log.info("no connection of %s to the %s listener was made: %s", who, self.name, error)
            leave()
            return
        except BaseException:  # cancelled, or our bug
            leave()
            raise
        if self._is_ending:
            protocol.shutdown()

    async def _connect(
        self,
        accepted: socket.socket,
        client: str,
        protocol: asyncio.BufferedProtocol,
        patience: float,
    ) -> None:
        """Have ``protocol`` speak, behind TLS where we have it; raises ``OSError``."""
        if self._tls is None:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: protocol, accepted)
        else:
            network = client_network(client, NOBODY)
            await accept(accepted, self._tls, lambda: protocol, patience, self._handshakes, network)

    # Refusing connections.

    def _refuse(self, accepted: socket.socket, client: str, full: Full) -> None:
        """Tell the client of a connection that is one too many, at as little cost as can be."""
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            self._silent_until = now + _QUIET
            log.warning("the %s listener turns connections away: there are %s", self.name, full)
        if len(self._refused) < self._limiter.refused_at_once:
            # Noted here: a whole burst is accepted before the first of these tasks runs.
            protocol = Refusing(_FULL, self._timeouts)
            self._refused[protocol] = None
            self._start(self._answer_full(accepted, client, protocol))
            return
        for refusing in self._refused:
            refusing.shutdown()
        if self._tls is None:
            with suppress(OSError):
                accepted.send(_FULL)
        accepted.close()

    async def _answer_full(self, accepted: socket.socket, client: str, protocol: Refusing) -> None:
        """Answer 503, and let the client come to read it."""
        try:
            async with asyncio.timeout(self._timeouts.ending):
                await self._connect(accepted, client, protocol, self._timeouts.ending)
            await protocol.over
        except OSError:  # TimeoutError is one
            pass
        finally:
            del self._refused[protocol]
            protocol.break_off()

    def _connections(self) -> list[ServerConnection]:
        return cast(list[ServerConnection], list(self._state.connections))


class Served(Protocol):
    """What serves until the proxy ends: a listener, or several as one."""

    def begin(self) -> None:
        """Take connections from now on."""

    async def end(self) -> None:
        """Take nobody new, and wait until the last has its response."""

    async def break_off(self) -> None:
        """End at once whatever still runs."""


class Stop:
    """The request that the proxy ends: made once, after what runs; twice, at once."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._at_once = asyncio.Event()

    def want(self) -> None:
        """Ask for it."""
        if self._wanted.is_set():
            self._at_once.set()
        self._wanted.set()

    @property
    def is_wanted(self) -> bool:
        """Whether it was asked for."""
        return self._wanted.is_set()

    async def wanted(self) -> None:
        """Wait until it was asked for."""
        await self._wanted.wait()

    async def at_once(self) -> None:
        """Wait until it was asked for again."""
        await self._at_once.wait()


async def run(listeners: Sequence[Served], stop: Stop, grace_now: Callable[[], float]) -> None:
    """Run ``listeners`` until ``stop``, then let what runs end within so many seconds.

    The first ends first: what runs on it may need the others.
    """
    for listener in listeners:
        listener.begin()
    await stop.wanted()
    grace = grace_now()
    ending = asyncio.create_task(_end(listeners[0], listeners[1:], grace / 2))
    at_once = asyncio.create_task(stop.at_once())
    try:
        await asyncio.wait((ending, at_once), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not ending.done():
            log.warning("what still runs is cut off")
        for task in (ending, at_once):
            task.cancel()
        await asyncio.wait((ending, at_once))
        await asyncio.gather(*(listener.break_off() for listener in listeners))
    if not ending.cancelled():
        ending.result()


async def _end(first: Served, others: Sequence[Served], patience: float) -> None:
    """End ``first``, then ``others``: at the latest after ``patience`` seconds."""
    ending = asyncio.create_task(first.end())
    try:
        await asyncio.wait((ending,), timeout=patience)
        await asyncio.gather(ending, *(other.end() for other in others))
    finally:
        ending.cancel()
