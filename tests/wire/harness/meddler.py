"""Whoever stands between two Portals: sees every byte, and may do with it what it likes.

It reads as far as a relay can: HTTP, and where an envelope's chunks begin and end. A call is
handed to ``on_call``, which passes it on, or back, as the test wants.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.core.binary_http.varint import read_varint, varint
from proxy.core.sealing.envelope import GATEWAY
from tests.wire.harness.raw import LOOPBACK, Raw, RawConnection, read_message
from tests.wire.harness.recorder import Accepted, Server, pass_on

if TYPE_CHECKING:
    from typing import Any

REQUEST_HEADER = 39
ANSWER_HEADER = 16
_Notes = tuple[Callable[[bytes], None], Callable[[bytes], None]]
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Envelope:
    """What can be told apart in an envelope without its key; ``chunks`` end with the final one."""

    header: bytes
    chunks: tuple[bytes, ...]

    def pieces(self) -> list[bytes]:
        """Return it as it stood on the wire, cut behind the header and each chunk."""
        framed = [varint(len(chunk)) + chunk for chunk in self.chunks[:-1]]
        return [self.header, *framed, varint(0) + self.chunks[-1]]


def envelope(body: bytes, header: int) -> Envelope:
    """Read an envelope with a header of ``header`` bytes."""
    chunks: list[bytes] = []
    length, at = read_varint(body, header)
    while length:
        chunks.append(body[at : at + length])
        length, at = read_varint(body, at + length)
    return Envelope(body[:header], (*chunks, body[at:]))


class HungUp(Exception):
    """A plan's way to say: cut both connections here."""

    def __init__(self, *, reset: bool = True) -> None:
        super().__init__("hung up")
        self.reset = reset


class Passing:
    """One call on its way: ``request`` as it came from the caller."""

    def __init__(self, caller: RawConnection, request: Raw, to_port: int, seen: list[Raw]) -> None:
        self.request = request
        self._caller = caller
        self._to_port = to_port
        self._seen = seen

    @property
    def envelope(self) -> Envelope:
        """The request's envelope."""
        return envelope(self.request.body, REQUEST_HEADER)

    def on(self, pieces: list[bytes] | Iterator[bytes] | None = None) -> Raw:
        """Send the call on, with ``pieces`` in the place of its envelope; return the response."""
        with RawConnection(self._to_port) as peer:
            _send(peer, self.request, pieces)
            response = peer.read()
        self._seen.append(response)
        return response

    def back(self, response: Raw, pieces: list[bytes] | Iterator[bytes] | None = None) -> None:
        """Give the caller ``response``, with ``pieces`` in the place of its envelope."""
        _send(self._caller, response, pieces)

    def say(self, raw: bytes) -> None:
        """Give the caller these bytes."""
        self._caller.send(raw)


def _send(wire: RawConnection, message: Raw, pieces: list[bytes] | Iterator[bytes] | None) -> None:
    if not message.all("transfer-encoding"):
        wire.send(message.head + message.body)
        return
    wire.send(message.head)
    try:
        for piece in pieces or [message.body]:
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    except HungUp as end:
        hang_up(wire.socket, reset=end.reset)
        raise
    wire.send(b"0\r\n\r\n")


def hang_up(connection: socket.socket, *, reset: bool = True) -> None:
    """End a connection."""
    with suppress(OSError):
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _ignore(_: bytes) -> None:
    """Note nothing."""


def honestly(passing: Passing) -> None:
    """Do what a relay should."""
    passing.back(passing.on())


class Meddler(Server):
    """The relay; ``requests`` and ``responses`` are all that went by, in HTTP.

    Once told to ``stream`` it passes bytes on as they come, and only notes them.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._notes: _Notes | None = None
        super().__init__()
        self.clear()

    def stream(self, *, note: bool = False) -> None:
        """From now on pass bytes on as they come; ``note`` keeps them."""
        self._hang_up_all()
        self._notes = (self._note_sent, self._note_answered) if note else (_ignore, _ignore)

    def _note_sent(self, data: bytes) -> None:
        self.sent += data

    def _note_answered(self, data: bytes) -> None:
        self.answered += data

    def _hang_up_all(self) -> None:
        """End the connections that callers keep: the next call comes on a new one."""
        for connection in self._open:
            hang_up(connection, reset=False)
        self._open.clear()

    def clear(self) -> None:
        """Forget what went by, and be honest."""
        self._hang_up_all()
        self._notes = None
        self.sent = bytearray()
        self.answered = bytearray()
        self.requests: list[Raw] = []
        self.responses: list[Raw] = []
        self.on_call: Callable[[Passing], Any] = honestly
        self.on_document: Callable[[Passing], Any] = honestly

    @property
    def calls(self) -> list[Raw]:
        """The calls among the requests."""
        return [raw for raw in self.requests if raw.target == GATEWAY]

    @property
    def documents(self) -> int:
        """How many documents were asked for."""
        return len(self.requests) - len(self.calls)

    def handle(self, accepted: socket.socket) -> None:
        if self._notes is not None:
            with socket.create_connection((LOOPBACK, self._to_port)) as onward:
                self._open.append(onward)
                for side in (accepted, onward):  # so that little is on its way at any time
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                return pass_on(accepted, onward, *self._notes)
        wire = Accepted(accepted, lambda _: None)
        while True:
            request = read_message(wire)
            self.requests.append(request)
            passing = Passing(wire, request, self._to_port, self.responses)
            try:
                (self.on_call if request.target == GATEWAY else self.on_document)(passing)
            except HungUp as end:
                hang_up(accepted, reset=end.reset)
                return None
