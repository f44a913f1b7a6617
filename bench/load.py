"""The load: one thread, its own epoll loop, every response checked.

Requests on a connection follow one another. When the time is up no more are sent and those in
flight are waited for, so that the CPU that was used belongs to the requests that were counted.
"""

import itertools
import select
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterator

import httptools

from bench.endpoint import LOOPBACK, Endpoint
from bench.figures import Sample
from bench.work import Case

PATIENCE = 30.0
"""Seconds without a byte from anybody, after which a subject counts as stuck."""
_AT_ONCE = 64
"""Connections that are opened before they are used: fewer than any listener's backlog."""
_SIGNED_RATE = 6000
"""Requests that are signed beforehand for each second; a turn that used them up ends early."""
_BUFFER = bytearray(512 * 1024)
_VIEW = memoryview(_BUFFER)
_OK = 200
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_TLS = ssl.create_default_context()
_TLS.check_hostname, _TLS.verify_mode = False, ssl.CERT_NONE
"""For a certificate that was made for the run. A record is never longer than the buffer, so none
stays behind in here when one is read."""


class Wrong(Exception):
    """A response that isn't the right one, or none."""


class Wire:
    """One connection, and the exchange that is under way on it.

    ``requests`` are what it sends, one after the other; ``response`` is the body of each response.
    """

    def __init__(self, endpoint: Endpoint, requests: Iterator[bytes], response: bytes) -> None:
        self._socket = socket.create_connection((LOOPBACK, endpoint.port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.secure:
            name = endpoint.host.partition(":")[0] or None
            self._socket = _TLS.wrap_socket(self._socket, server_hostname=name)
        self._socket.setblocking(False)  # noqa: FBT003 - the socket API
        self._requests = requests
        self._response = response
        self._parser = httptools.HttpResponseParser(self)
        self.unsent = memoryview(b"")
        self._began = 0.0
        self._got = 0
        self._complete = False

    def fileno(self) -> int:
        """Return the descriptor, for epoll."""
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def will_send(self, request: bytes) -> None:
        """Send this from now on, once or more; the response's body is the same as before."""
        self._requests = itertools.repeat(request)

    def begin(self) -> bool:
        """Send the next request, as far as it goes; tells whether there was one."""
        request = next(self._requests, None)
        if request is None:
            return False
        self._got, self._complete = 0, False
        self._began = time.perf_counter()
        self.unsent = memoryview(request)
        self.push()
        return True

    def push(self) -> None:
        """Send more of the request."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self._socket.send(self.unsent) :]
        except _NOT_YET:
            pass
        except OSError as error:
            raise Wrong(f"the connection broke while sending: {error}") from None

    def pull(self) -> float | None:
        """Take what has arrived; return the exchange's seconds once the response is whole."""
        try:
            count = self._socket.recv_into(_BUFFER)
        except _NOT_YET:
            return None
        except OSError as error:
            raise Wrong(f"the connection broke: {error}") from None
        if not count:
            raise Wrong(f"closed after {self._got} of {len(self._response)} bytes of the body")
        try:
            self._parser.feed_data(_VIEW[:count])
        except httptools.HttpParserError as error:
            raise (error.__context__ or Wrong(f"not HTTP: {error!r}")) from None
        return time.perf_counter() - self._began if self._complete else None

    # What the parser calls.

    def on_headers_complete(self) -> None:
        """Check the status, and that there is a request to it."""
        status = self._parser.get_status_code()
        if status != _OK:
            raise Wrong(f"status {status}")
        if self._complete:
            raise Wrong("a response that nobody waits for")

    def on_body(self, body: bytes) -> None:
        if not self._response.startswith(body, self._got):
            raise Wrong(f"the body is another one in the {len(body)} bytes from {self._got}")
        self._got += len(body)

    def on_message_complete(self) -> None:
        """Check the length, and that the request was sent by then."""
        if self._got != len(self._response):
            raise Wrong(f"the body ended after {self._got} of {len(self._response)} bytes")
        if self.unsent:
            raise Wrong(f"answered before {len(self.unsent)} bytes were sent")
        self._complete = True


def connect(
    endpoint: Endpoint,
    case: Case,
    wires: list[Wire],
    count: int,
    requests: Iterator[bytes] | None = None,
) -> None:
    """Add connections to ``wires`` until they are ``count``, each used once; raises ``Wrong``."""
    requests = requests or endpoint.requests(case, count)
    try:
        while missing := count - len(wires):
            some = [Wire(endpoint, requests, case.response) for _ in range(min(missing, _AT_ONCE))]
            wires += some
            exchange(some, 0.0)
    except OSError as error:
        raise Wrong(f"no connection: {error}") from None


def exchange(wires: list[Wire], seconds: float) -> list[float]:
    """Keep every wire busy for so long, at least for one exchange; return what each took."""
    took: list[float] = []
    by_number = {wire.fileno(): wire for wire in wires}
    with select.epoll() as poll:
        busy = 0
        for wire in wires:
            busy += wire.begin()
            poll.register(wire, _interest(wire))
        until = time.perf_counter() + seconds
        while busy:
            events = poll.poll(PATIENCE)
            if not events:
                raise Wrong(f"nothing came for {PATIENCE:g} s, {busy} responses are missing")
            for number, event in events:
                wire = by_number[number]
                had_unsent = bool(wire.unsent)
                if event & select.EPOLLOUT:
                    wire.push()
                if event & ~select.EPOLLOUT and (done := wire.pull()) is not None:
                    took.append(done)
                    if time.perf_counter() >= until or not wire.begin():
                        busy -= 1
                if had_unsent or wire.unsent:
                    poll.modify(wire, _interest(wire))
    return took


def measure(endpoint: Endpoint, case: Case, seconds: float, cpu: Callable[[], float]) -> Sample:
    """Put ``case`` on a subject, whose CPU time ``cpu`` reads; raises ``Wrong``."""
    count = 2 * case.connections + int(seconds * _SIGNED_RATE)
    requests = endpoint.requests(case, count)
    wires: list[Wire] = []
    try:
        connect(endpoint, case, wires, case.connections, requests)
        used, began = cpu(), time.perf_counter()
        took = exchange(wires, seconds)
        elapsed, used = time.perf_counter() - began, cpu() - used
    finally:
        for wire in wires:
            wire.close()
    slowest = sorted(took)[int(len(took) * 0.99)]
    return Sample(len(took), used, elapsed, statistics.median(took), p99=slowest)


def _interest(wire: Wire) -> int:
    return select.EPOLLIN | select.EPOLLOUT if wire.unsent else select.EPOLLIN
