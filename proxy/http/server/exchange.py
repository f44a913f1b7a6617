"""One request and its response on a client's connection.

What serves the request calls ``send_head``, ``send`` and so on, and is told what comes
(``proxy.http.downstream``). What it sends has to keep to its framing: a body longer or shorter than
its ``Content-Length`` breaks the connection, since the client would take what is missing from the
next response. The fields of the connection itself are written here; an app's own are dropped, but
for its ``close``.

Of the request: nothing is passed on while it is paused, as it is at first. What came meanwhile is
held, no more than the connection's ``buffered``. Behind a 101 the same calls carry a stream.
"""

import asyncio

from proxy.core.http.headers import Field, Fields, values_of
from proxy.core.http1.framing import IN_CHUNKS, Persistence, bodiless, persistence, request_framing
from proxy.core.http1.grammar import RequestHead
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.http1.writer import CONTINUE, LAST_CHUNK, TUNNEL_OPENED, chunk, response_head
from proxy.core.websocket.handshake import asks_for_websocket
from proxy.http.downstream import RequestHandler, Tunnel
from proxy.http.server.response_writer import ResponseWriter

_OF_THE_CONNECTION = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})

_OF_A_STREAM = RequestHead(b"", b"", 1, ())
"""Stands where the head was of a request that a stream took the place of."""
_ANSWERED = tuple(RequestHead(b"", b"", minor, ()) for minor in (0, 1))
"""Stand where the head was, of either version, once the response's has gone out."""
_TOGETHER = 4096
"""Bytes of small pieces that are held as one."""


class BrokenResponse(Exception):
    """The app's response isn't the one that its head announced."""


class Exchange:
    """The client's end of one request: a ``proxy.http.downstream.Downstream``."""

    __slots__ = (
        "_composed_of", "_connection", "_handler", "_head", "_held", "_is_bodiless", "_is_chunked",
        "_is_delivering", "_is_end_held", "_is_paused", "_is_to_deliver", "_left",
        "_names_upgrade", "_taken", "_unsent_head", "buffered", "bytes_in", "bytes_out",
        "expects_continue", "has_client_ended", "has_started", "is_complete", "is_gone",
        "is_received", "is_upgraded", "keeps",
    )  # fmt: skip

    def __init__(
        self, connection: ResponseWriter, head: RequestHead, persistence: Persistence
    ) -> None:
        self._connection = connection
        self._head = head
        self._handler: RequestHandler | None = None
        self._held: list[tuple[bytes, bool]] | None = None
        self._is_paused = True
        self._is_to_deliver = False
        self._is_end_held = False
        self._unsent_head: bytes | None = None
        self._composed_of: tuple[int, list[Field]] | None = None
        self._taken = 0
        self._names_upgrade = False
        self._left: int | None = None
        self._is_chunked = False
        self._is_bodiless = False
        self._is_delivering = False
        expect = values_of(head.fields, b"expect")
        self.expects_continue = (
            bool(expect) and head.minor == 1 and b"100-continue" in map(bytes.lower, expect)
        )
        # What follows a handshake is its WebSocket's or nobody's, never another request; and so is
        # what follows CONNECT, of a client that didn't wait to hear whether it has a tunnel.
        self.keeps = (
            persistence.keeps
            and head.method != b"CONNECT"
            and not (
                b"upgrade" in persistence.options and asks_for_websocket(head.minor, head.fields)
            )
        )
        self.is_upgraded = False
        """Whether the connection carries a stream since a 101."""
        self.bytes_in = self.bytes_out = 0
        self.buffered = 0
        """Bytes that came and wait to be passed on."""
        self.is_received = False
        """Whether all of the request has arrived, be it told or not."""
        self.is_gone = False
        self.has_started = False
        self.is_complete = False
        self.has_client_ended = False
        """Whether the client has ended its side of a stream."""

    # What the connection tells.

    def served_by(self, handler: RequestHandler) -> None:
        """Tell ``handler`` what comes, unless it has finished already, or handed it over."""
        if self._connection is not None and self._handler is None:
            self._handler = handler

    @property
    def is_place_short(self) -> bool:
        """Whether others wait for the place that the request holds."""
        return self._handler is not None and self._handler.is_place_short()

    def take(self, piece: bytes, *, ends: bool) -> None:
        """Take in a piece of the request's body, or of the stream that took its place."""
        if ends and self.is_upgraded:
            self.has_client_ended = True
        self._taken += len(piece)
        self.expects_continue = False  # it didn't wait, so it sends the rest too
        if self._is_paused or self._held:
            if not piece and not self._held:
                self._is_end_held = True
                return
            self._hold(piece, ends=ends)
        elif self._handler is not None:
            self.bytes_in += len(piece)
            self._handler.body_received(piece, ends=ends)

    def _hold(self, piece: bytes, *, ends: bool) -> None:
        """Hold a piece; what comes byte by byte would take a hundred times as much in pieces."""
        self.buffered += len(piece)
        held = self._held
        if held and len(held[-1][0]) + len(piece) <= _TOGETHER:
            held[-1] = held[-1][0] + piece, ends
        elif held:
            held.append((piece, ends))
        else:
            self._held = [(piece, ends)]

    @property
    def looks_whole(self) -> bool:
        """Whether what was sent of the response would pass for all of it, if it ended here."""
        is_begun = self.has_started and not self.is_complete and self._unsent_head is None
        return is_begun and self._left is None and self._head.minor == 0

    def leave(self) -> None:
        """Take note that the client is gone, or its body broken."""
        if self.is_gone:
            return
        self.is_gone = True
        self._held, self.buffered, self._is_end_held = None, 0, False
        if self._handler is not None:
            self._handler.client_left()

    def lose(self) -> None:
        """Take note that the connection is gone, of a client that had ended its stream.

        What it said last counts: it is still passed on.
        """
        self.is_gone = True

    def cut_short(self) -> None:
        """Wait no longer for what a client said last that had ended its stream."""
        if not self.is_gone:
            self.leave()
        elif self.has_client_ended and self._handler is not None:
            self._handler.client_left()

    def stop(self) -> None:
        """Tell who carries a stream that the server is about to end."""
        if self._handler is not None:
            self._handler.stop()

    def pause_response(self) -> None:
        """Have no more sent for now."""
        if self._handler is not None and not self._is_delivering:
            self._handler.pause_response()

    def resume_response(self) -> None:
        """Have more sent."""
        if self._handler is not None:
            self._handler.resume_response()

    # What serves the request calls.

    @property
    def is_blocked(self) -> bool:
        """Whether to send on only behind ``resume_response``."""
        return not self.is_gone and self._connection.is_write_blocked

    @property
    def takes_interim(self) -> bool:
        """Whether interim responses reach the client; HTTP/1.0 has none (RFC 9110, 15.2)."""
        return self._head.minor == 1

    @property
    def takes_upgrade(self) -> bool:
        """Whether the connection can leave HTTP."""
        return self._head.minor == 1

    def hand_over(self, handler: RequestHandler) -> None:
        """Tell another handler from now on."""
        if self._handler is not None or not self.is_gone:
            self._handler = handler

    def pause(self) -> None:
        """Pass no more on."""
        self._is_paused = True

    def resume(self) -> None:
        """Pass on what comes, and soon what came meanwhile."""
        self._is_paused = False
        if (self._held or self._is_end_held) and not self._is_to_deliver:
            self._is_to_deliver = True
            asyncio.get_running_loop().call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._is_to_deliver = False
        held = self._held
        while held and not self._is_paused and self._handler is not None:
            piece, ends = held.pop(0)
            self.buffered -= len(piece)
            self.bytes_in += len(piece)
            self._handler.body_received(piece, ends=ends)
            del piece
        if not held and self._held is held:
            self._held = None
        if self._is_end_held and not self._is_paused and self._handler is not None:
            self._is_end_held = False
            self._handler.body_received(b"", ends=True)
        if self._handler is not None and not self.is_gone:
            self._connection.resume_reading()

    def invite(self) -> None:
        """Send 100 Continue to a client that waits for it."""
        if self.expects_continue and not self.has_started and not self.is_gone:
            self._connection.write(CONTINUE)
        self.expects_continue = False

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send an interim response, to who may get one."""
        if self._head.minor == 1 and not self.has_started and not self.is_gone:
            self._connection.write(response_head(status, fields))

    def switch_protocols(self, fields: Fields) -> None:
        """Answer 101; raises ``RuntimeError`` where that can't be."""
        if self.is_gone:
            return
        if self._head.minor == 0 or not self.is_received or self.has_started:
            raise RuntimeError("only a whole request of HTTP/1.1 can be upgraded")
        self._connection.write(response_head(SWITCHING_PROTOCOLS, fields))
        self._head = _OF_A_STREAM
        self.has_started = self.is_upgraded = True
        self._is_bodiless = False
        self._held, self.buffered, self._is_end_held = None, 0, False  # at most the request's end
        self._connection.switch_protocols()

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """Answer 200 to CONNECT; raises ``RuntimeError`` where that can't be.

        Whether the connection stays isn't for the fields of CONNECT to say: many clients ask there
        that it doesn't, and mean the connection to their proxy behind the tunnel's end.
        """
        if self.is_gone:
            return
        if not self.is_received or self.has_started:
            raise RuntimeError("only a whole request can become a tunnel")
        self._connection.write(TUNNEL_OPENED)
        self.has_started = self.is_complete = self.keeps = True
        self._connection.open_tunnel(tunnel)

    def send_head(self, status: int, fields: Fields) -> None:
        """Begin the response; raises ``BrokenResponse`` for one that can't be framed."""
        if self.is_gone:
            return
        if self.has_started:
            raise BrokenResponse("a second head")
        self._start(status, fields)

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body; raises ``BrokenResponse`` where it isn't what was announced."""
        if self.is_gone:
            self.is_complete = self.is_complete or ends
            return
        if self.is_complete or not self.has_started:
            raise BrokenResponse("a body where none can be")
        self.bytes_out += len(piece)
        if self.is_upgraded:
            if piece:
                self._connection.write(piece)
            if ends:
                self.is_complete = True
                self._connection.write_end()
            return
        self._body(piece, ends=ends)

    def finish(self) -> None:
        """End it."""
        connection = self._connection
        if not connection:
            return
        connection.exchange_finished(self)
        self._let_go()

    def break_off(self) -> None:
        """Reset the connection."""
        if not self.is_gone:
            self._connection.break_off()

    def _let_go(self) -> None:
        """Hold nobody any more: what is asked next is none of our business."""
        self._handler = self._held = None
        self._connection = None  # type: ignore[assignment]  # nothing is called behind finish

    # The response.

    def _start(self, status: int, given: Fields) -> None:
        self._is_bodiless = bodiless(self._head.method, status)
        fields: list[Field] = []
        length = b""
        for pair in given:
            name = pair[0]
            if name in _OF_THE_CONNECTION:
                if name == b"connection" and not persistence(given, 1).keeps:
                    self.keeps = False
                continue
            if name == b"content-length":
                if length or not pair[1].isdigit():
                    raise BrokenResponse("the app's Content-Length isn't one number")
                length = pair[1]
            elif name == b"upgrade":
                self._names_upgrade = True
            fields.append(pair)
        self._frame(length, fields)
        self.keeps = self.keeps and self._may_keep()
        # What can't be written is a mistake while another response can still be given.
        self._unsent_head = self._composed(status, fields)
        if not self.is_received:
            self._composed_of = status, fields
        self.has_started = True
        # It goes out with its body's first piece where that follows at once, else on its own.
        self._connection.unsent_heads.add(self)

    def _frame(self, length: bytes, fields: list[Field]) -> None:
        """Choose how the body's end will show; ``length`` is what was told of it, b"" nothing."""
        if self._is_bodiless:
            self._left = 0
        elif length:
            self._left = int(length)
        elif self._head.minor == 1:
            self._is_chunked = True
            fields.append(IN_CHUNKS)
        else:
            self.keeps = False

    def _may_keep(self) -> bool:
        """Tell whether the connection can be kept after this response.

        A client that waits for 100 Continue may send its body or not: nobody can tell what its
        next bytes would be.
        """
        return not self._connection.is_stopping and not self.expects_continue

    def _leaves_much(self) -> bool:
        """Tell whether a client that is answered now would send on for longer than we read past.

        Of chunks nobody knows how many are to come.
        """
        length = request_framing(self._head)
        if not isinstance(length, int):
            return True
        return length - self._taken + self.buffered > self._connection.unread_limit

    def _take_head(self, *, is_whole: bool) -> bytes:
        """Return the head, if it hasn't gone out; ``is_whole`` is a response with its end.

        Who gets all of it without having sent all of its body learns there that the connection
        ends, if it does: nothing may stand behind that body, for it wouldn't be carried out.
        """
        head, self._unsent_head = self._unsent_head, None
        if head is None:
            return b""
        composed_of, self._composed_of = self._composed_of, None
        if composed_of and is_whole and self.keeps and not self.is_received and self._leaves_much():
            self.keeps = False
            head = self._composed(*composed_of)
        self._head = _ANSWERED[self._head.minor]
        return head

    def _composed(self, status: int, fields: list[Field]) -> bytes:
        options = [b"upgrade"] if self._names_upgrade else []
        if not self.keeps:
            options.append(b"close")
        elif self._head.minor == 0:
            options.append(b"keep-alive")
        if options:
            fields = [*fields, (b"connection", b", ".join(options))]
        return response_head(status, fields)

    def send_unsent_head(self) -> None:
        """Write the head, unless it went out with the body's first piece."""
        if self._unsent_head is not None and not self.is_gone and self._connection is not None:
            self._connection.write(self._take_head(is_whole=False))

    def _body(self, content: bytes, *, ends: bool) -> None:
        if self._is_bodiless:
            content = b""
        out = self._take_head(is_whole=ends)
        if self._left is not None:
            if len(content) > self._left:
                raise BrokenResponse("the app's body is longer than it said")
            self._left -= len(content)
            out = out + content if out else content
        elif self._is_chunked:
            out += (chunk(content) if content else b"") + (LAST_CHUNK if ends else b"")
        else:
            out += content
        if ends and not self._left:
            self._end_body(out)
            return
        if out:
            self._connection.write(out)
        if ends:
            raise BrokenResponse(f"the app's body is {self._left} bytes short")

    def _end_body(self, out: bytes) -> None:
        """Send the last of a response that is whole."""
        self.is_complete = True
        # Where more is asked for than the socket takes at once, that is told once, at the end.
        self._is_delivering = self.is_received
        if out:
            self._connection.write(out)
        if self.is_received:
            # Over it is when all of it was handed to the client's side of the socket: whose
            # connection ends before has left. While it still sends, and perhaps doesn't read
            # before it has sent all, nobody waits for that.
            self._connection.deliver()
