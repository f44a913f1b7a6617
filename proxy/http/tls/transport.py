"""A socket with TLS as asyncio's transport, for one protocol that gives its own buffers.

It behaves as asyncio's transport of a plain socket does: ``close`` waits for what was written, for
as long as whoever closes lets it; ``write_eof`` ends one way; ``abort`` ends all at once, and says
no end, so that nobody takes a part for the whole. asyncio's own TLS does none of these.

All connections of a loop read into one buffer, which is emptied before anything else happens.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from proxy.http.tls.stream import Bytes, TlsStream

_LARGEST = 256 * 1024
_HIGH = 64 * 1024
"""Bytes that wait to be sent above which the protocol is asked to pause, as in asyncio."""
_UNASKED = 64 * 1024
"""Bytes that TLS itself may say on one connection, such as alerts: nobody waits for their way."""
_AT_ONCE = 64
"""Pieces that one call gives the socket; the system takes 1024 at most."""
_NOTHING = memoryview(b"")

_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


class TlsTransport(asyncio.Transport):
    """One connection, from its handshake on."""

    __slots__ = (
        "__weakref__",
        "_descriptor",
        "_has_said_end",
        "_high",
        "_is_closing",
        "_is_end_genuine",
        "_is_end_told",
        "_is_lost",
        "_is_paused",
        "_is_protocol_paused",
        "_loop",
        "_low",
        "_protocol",
        "_received",
        "_socket",
        "_stream",
        "_unasked",
        "_unsent",
    )

    def __init__(
        self, sock: socket.socket, stream: TlsStream, protocol: asyncio.BufferedProtocol
    ) -> None:
        """``stream`` is done with its handshake on ``sock``, which is the transport's now."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._descriptor = sock.fileno()
        self._stream = stream
        self._protocol: asyncio.BufferedProtocol | None = protocol
        self._received = shared_buffer(self._loop)
        self._unsent = bytearray()
        self._unasked = 0
        self._high, self._low = _HIGH, _HIGH // 4
        self._is_protocol_paused = False
        self._is_paused = False
        self._has_said_end = False
        self._is_end_genuine = True
        self._is_end_told = False
        self._is_closing = False
        self._is_lost = False
        protocol.connection_made(self)
        # What came together with the handshake's end is read after whoever made us had a turn.
        self._loop.call_soon(self._read_on)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's
        """Tell what asyncio's transports tell of the connection.

        ``ended_properly`` is False where the stream ended, and TLS didn't say so: somebody between
        may have cut it (RFC 9112, section 9.8).
        """
        if name == "socket":
            return self._socket
        if name == "ended_properly":
            return self._is_end_genuine
        if name == "ssl_object":
            return self._stream.tls
        if name == "sslcontext":
            return self._stream.tls.context
        if name in ("peername", "sockname"):
            ask = self._socket.getpeername if name == "peername" else self._socket.getsockname
            with suppress(OSError):
                return ask()
        return default

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is told of everything."""
        if self._protocol is None:
            raise RuntimeError("the connection is gone")
        return self._protocol

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._is_closing

    # What comes.

    def is_reading(self) -> bool:
        """Whether the other side may go on."""
        return not (self._is_paused or self._is_closing)

    def pause_reading(self) -> None:
        """Make the other side wait."""
        if not self._is_paused and not self._is_closing:
            self._is_paused = True
            self._loop.remove_reader(self._descriptor)

    def resume_reading(self) -> None:
        """Let the other side go on."""
        if self._is_paused and not self._is_closing:
            self._is_paused = False
            self._loop.call_soon(self._read_on)

    @property
    def has_more(self) -> bool:
        """Whether something came that the protocol wasn't told yet, though nothing more comes."""
        return self._stream.has_more

    def _read_on(self) -> None:
        """Read what has come already, and wait for more."""
        if self._is_paused or self._is_closing or self._is_end_told:
            return
        if self._has_their_end():
            self._be_ended()
            return
        self._loop.add_reader(self._descriptor, self._arrive)
        if self._stream.has_more and self._protocol is not None:
            self._deliver(_NOTHING, self._view(self._protocol))

    def _has_their_end(self) -> bool:
        return not self._is_end_genuine or (self._stream.has_ended and not self._stream.has_more)

    @staticmethod
    def _view(protocol: asyncio.BufferedProtocol) -> memoryview:
        return memoryview(protocol.get_buffer(-1))

    def _arrive(self) -> None:
        """Read from the socket, which has something."""
        if self._protocol is None or self._is_closing:
            return
        view, received = self._view(self._protocol), self._received
        try:
            size = self._socket.recv_into(received, min(len(view), _LARGEST))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if size:
            self._deliver(received[:size], view)
        else:
            self._is_end_genuine = False
            self._be_ended()

    def _deliver(self, data: memoryview, view: memoryview) -> None:
        """Decrypt ``data``, and hand on all that can be read."""
        try:
            while self._protocol is not None:
                count = self._stream.read(data, view)
                self._send_unasked()
                if count:
                    self._protocol.buffer_updated(count)
                if self._is_closing or self._is_paused:
                    return
                if self._has_their_end():
                    self._be_ended()
                    return
                if not count or not self._stream.has_more:
                    return
                data, view = _NOTHING, self._view(self._protocol)
        except ssl.SSLError as error:
            self._send_unasked()  # the alert that says why
            self._lose(error)
        except Exception:
            self.abort()
            raise

    def _be_ended(self) -> None:
        """Tell of the other side's end; a protocol that has nothing more to say ends ours."""
        self._is_end_told = True
        self._loop.remove_reader(self._descriptor)
        if self._protocol is not None and not self._protocol.eof_received():
            self.close()

    def left_unread(self) -> Iterator[bytes]:
        """Yield what the other side said before the connection broke, when it has."""
        piece = memoryview(bytearray(_HIGH))
        with suppress(OSError):  # ssl.SSLError is one
            while data := self._socket.recv(_HIGH):
                came = memoryview(data)
                while count := self._stream.read(came, piece):
                    yield bytes(piece[:count])
                    came = _NOTHING

    # What goes.

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say from where on the protocol is asked to pause, and when it may go on."""
        if high is None:
            high = _HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low
        self._look_at_unsent()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high one."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the socket hasn't taken, as they are sent."""
        return len(self._unsent)

    def write(self, data: Bytes) -> None:
        """Send ``data``, now as far as the socket takes it."""
        if self._is_closing or not data:
            return
        if self._has_said_end:
            raise RuntimeError("something is written behind our end")
        try:
            out = self._stream.write(data)
        except ssl.SSLError as error:
            self._lose(error)
            return
        self._send(out)
        self._look_at_unsent()

    def can_write_eof(self) -> bool:
        """Whether one way can end without the other."""
        return True

    def write_eof(self) -> None:
        """Send our end behind what was written, and go on reading."""
        if not self._is_closing and self._say_end() and not self._unsent:
            self._shut_down()

    def close(self) -> None:
        """Send our end behind what was written, and close when the socket has taken it."""
        if self._is_closing or not self._say_end():
            return
        self._is_closing = True
        self._loop.remove_reader(self._descriptor)
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        """Close at once, whatever waits to be sent, and say no end."""
        self._lose(None)

    def _say_end(self) -> bool:
        """Write TLS's end; tell whether the connection is still there."""
        if not self._has_said_end:
            self._has_said_end = True
            try:
                self._stream.end()
            except ssl.SSLError as error:
                self._lose(error)
                return False
            self._send([self._stream.take_outgoing()])
        return not self._is_lost

    def _shut_down(self) -> None:
        with suppress(OSError):  # it is gone: the loop tells of it soon
            self._socket.shutdown(socket.SHUT_WR)

    def _send_unasked(self) -> None:
        if (out := self._stream.take_outgoing()) and not self._is_closing:
            self._unasked += len(out)
            if self._unasked > _UNASKED:
                self._lose(ConnectionAbortedError("TLS was made to say too much by itself"))
            else:
                self._send([out])

    def _send(self, out: list[bytes]) -> None:
        if self._is_lost:
            return
        if self._unsent:
            self._unsent += b"".join(out)
            return
        try:
            sent = (
                self._socket.send(out[0]) if len(out) == 1 else self._socket.sendmsg(out[:_AT_ONCE])
            )
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        for piece in out:
            if sent < len(piece):
                self._unsent += memoryview(piece)[sent:]
            sent = max(0, sent - len(piece))
        if self._unsent:
            self._loop.add_writer(self._descriptor, self._send_on)

    def _send_on(self) -> None:
        """Send what waits: the socket takes something."""
        if self._is_lost:
            return
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._unsent = bytearray()  # the old one may have room for much
            self._loop.remove_writer(self._descriptor)
        self._look_at_unsent()  # which may write more
        if self._unsent or self._is_lost:
            return
        if self._is_closing:
            self._lose(None)
        elif self._has_said_end:
            self._shut_down()

    def _look_at_unsent(self) -> None:
        """Ask the protocol to pause, or to go on."""
        size = len(self._unsent)
        if self._protocol is None or self._is_lost:
            return
        if size > self._high and not self._is_protocol_paused:
            self._is_protocol_paused = True
            self._protocol.pause_writing()
        elif size <= self._low and self._is_protocol_paused:
            self._is_protocol_paused = False
            self._protocol.resume_writing()

    # The end.

    def _lose(self, error: Exception | None) -> None:
        """Be closed from now on; the protocol hears of it in the loop's next turn."""
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self._unsent = bytearray()
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        try:
            if protocol is not None:
                protocol.connection_lost(error)
        finally:
            self._socket.close()


def shared_buffer(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Return what all connections of ``loop`` read into."""
    if (buffer := _buffers.get(loop)) is None:
        buffer = _buffers[loop] = memoryview(bytearray(_LARGEST))
    return buffer
