"""The state machines that read one side of a connection: bytes in, events out.

``RequestReader`` sits in a server, ``ResponseReader`` in a client. Both move by one table:

    state      what arrives            events                       next state
    HEAD       a whole head            Head                         BODY, or DONE where no body is
    HEAD       an interim head (1xx)   Interim                      HEAD        (responses only)
    HEAD       101 that was asked for  Head                         RAW         (responses only)
    BODY       content                 Content, ...                 BODY
    BODY       the body's end          Content, ..., End            DONE
    RAW        anything                Content                      RAW
    DONE       anything                -                            DONE, held for ``next_message``
    DONE       (``upgrade``)           Content                      RAW         (requests only)
    any        what isn't allowed      Malformed                    FAILED
    FAILED     anything                -                            FAILED

``Malformed`` is an event here, and the last one: what came before it is handed on, and nothing
after it is read. A reader never shortens: a body that isn't whole when the stream ends fails. A
response fails, too, when a byte comes along behind its end, unless its head was all of it: what
some servers send behind the head for HEAD, 204 or 304 ends the connection, not the response.
"""

from dataclasses import dataclass
from enum import Enum, auto

from proxy.core.http.headers import values_of
from proxy.core.http1.body import Body, body_of
from proxy.core.http1.framing import Framing, bodiless, request_framing, response_framing
from proxy.core.http1.grammar import (
    MAX_HEAD,
    Malformed,
    ResponseHead,
    parse_request_head,
    parse_response_head,
    refuse_hopeless,
)

_BLANK = b"\r\n\r\n"
SWITCHING_PROTOCOLS = 101


class Surplus(Malformed):
    """Bytes behind a response's end, when nobody had asked for anything more."""

    def __init__(self, beginning: bytes, *, is_behind_head: bool) -> None:
        super().__init__("bytes after the end of the response")
        is_like_one = b"HTTP/1.".startswith(beginning[:7])
        self.is_response = is_like_one and beginning[9:12] != b"408"
        """Whether they begin like another response. A 408 is how some servers end a silence."""
        self.is_behind_head = is_behind_head
        """Whether the response before them had ended with its head."""


class State(Enum):
    """Where a reader is in its message."""

    HEAD = auto()
    BODY = auto()
    RAW = auto()
    DONE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Interim:
    """An interim response; the final one is still to come."""

    head: ResponseHead


@dataclass(frozen=True, slots=True)
class End:
    """The message is whole."""


END = End()


class _Reader:
    """What both readers share: the buffer, the body and the end."""

    __slots__ = ("_body", "_buffer", "_has_line", "_looked_at", "state")

    def __init__(self) -> None:
        self.state = State.HEAD
        self._buffer = bytearray()
        self._looked_at = 0
        self._has_line = False
        self._body: Body = body_of(0)

    @property
    def held(self) -> int:
        """How many bytes are held that no event was made of yet."""
        return len(self._buffer)

    def stop(self) -> None:
        """Read nothing more, whatever comes."""
        self.state = State.FAILED
        self._buffer.clear()

    @property
    def has_surplus(self) -> bool:
        """Whether bytes are held that don't belong to the current message."""
        return self.state is State.DONE and bool(self._buffer)

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a message has arrived."""
        return self.state is State.HEAD and not self._buffer

    def _head_end(self, *, request: bool) -> int:
        """Return where the buffered head ends, or 0 while it hasn't; raises ``Malformed``."""
        found = self._buffer.find(_BLANK, max(self._looked_at - 3, 0))
        if found >= 0 and found + 4 <= MAX_HEAD:
            return found + 4
        if found >= 0 or len(self._buffer) > MAX_HEAD:
            raise Malformed(f"the head is larger than {MAX_HEAD} bytes", 431)
        self._has_line = refuse_hopeless(
            self._buffer, self._looked_at, request=request, has_line=self._has_line
        )
        self._looked_at = len(self._buffer)
        return 0

    def _begin_body(self, framing: Framing, head_end: int) -> bytes:
        """Leave the head behind; return what arrived of the body.

        Requests that came together stay where they are: to copy those behind each would cost a
        client nothing, and us the square of their number.
        """
        arrived = len(self._buffer)
        end = min(arrived, head_end + framing) if isinstance(framing, int) else arrived
        rest = bytes(memoryview(self._buffer)[head_end:end]) if end > head_end else b""
        self._leave_behind(end)
        self._body = body_of(framing)
        self.state = State.BODY
        return rest

    def _end_with_head(self, end: int, events: list[object]) -> None:
        """Take note that the message has no body: what is behind its head is another's."""
        self._leave_behind(end)
        self.state = State.DONE
        events.append(END)

    def _leave_behind(self, end: int) -> None:
        """Forget what was read up to ``end``."""
        if end == len(self._buffer):
            self._buffer.clear()
        else:
            del self._buffer[:end]
        self._looked_at = 0
        self._has_line = False

    def _fail(self, error: Malformed, events: list[object]) -> list[object]:
        self.state = State.FAILED
        # Its traceback holds this list, which holds it: they and all callers would be garbage.
        events.append(error.with_traceback(None))
        return events

    def _content(self, data: bytes, events: list[object]) -> None:
        """Cut ``data`` into content; keep what comes after the end."""
        used = self._body.feed(data, events)
        if self._body.is_complete:
            self.state = State.DONE
            events.append(END)
            self._buffer += data[used:]

    def _next_message(self) -> None:
        if self.state is not State.FAILED:
            self.state = State.HEAD


class RequestReader(_Reader):
    """Reads requests, one at a time: the next one waits for ``next_message``."""

    __slots__ = ("_may_skip_line",)

    def __init__(self) -> None:
        super().__init__()
        self._may_skip_line = True

    def feed(self, data: bytes) -> list[object]:
        """Take what arrived; return ``RequestHead``, ``bytes``, ``End``, ``Malformed`` in order."""
        events: list[object] = []
        try:
            if self.state is State.BODY:
                self._content(data, events)
            elif self.state is State.RAW:
                events.append(data)
            elif self.state is not State.FAILED:
                self._buffer += data
                if self.state is State.HEAD:
                    self._head(events)
        except Malformed as error:
            return self._fail(error, events)
        return events

    def upgrade(self) -> bytes:
        """Leave HTTP behind a whole request; return what has arrived of whatever follows it."""
        if self.state is not State.DONE:
            raise RuntimeError("an upgrade in the middle of a request")
        self.state = State.RAW
        held = bytes(self._buffer)
        self._buffer.clear()
        return held

    def next_message(self) -> list[object]:
        """Begin the next request, with what of it has arrived; after a failure there is none."""
        self._next_message()
        self._may_skip_line = True
        return self.feed(b"")

    def end_of_stream(self) -> list[object]:
        """Take note that nothing more comes: ``Malformed`` in the middle of a request."""
        if self.state is State.BODY or (self.state is State.HEAD and self._buffer):
            return self._fail(Malformed("the connection ended in the middle of a request"), [])
        return []

    def _head(self, events: list[object]) -> None:
        if self._may_skip_line:
            self._skip_empty_line()
        end = self._head_end(request=True) if self._buffer else 0
        if not end:
            return
        head = parse_request_head(self._buffer, end)
        hosts = values_of(head.fields, b"host")
        if len(hosts) != 1 and (hosts or head.minor):
            raise Malformed(f"{len(hosts)} Host fields")
        framing = request_framing(head)
        events.append(head)
        if framing == 0:
            self._end_with_head(end, events)
        else:
            self._content(self._begin_body(framing, end), events)

    def _skip_empty_line(self) -> None:
        """Ignore one empty line in front of a request line (RFC 9112, section 2.2), and only one.

        A client that sends nothing else would otherwise have its time begin anew with each.
        """
        if self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
            self._may_skip_line = False
        elif not b"\r\n".startswith(self._buffer):
            self._may_skip_line = False


class ResponseReader(_Reader):
    """Reads the response to one request after the other; ``expect`` begins each."""

    __slots__ = ("_may_upgrade", "_method", "has_ended_with_head")

    def __init__(self) -> None:
        super().__init__()
        self.state = State.DONE
        self._method = b""
        self._may_upgrade = False
        self.has_ended_with_head = False
        """Whether the response has no body: its head was its end (RFC 9112, section 6.3)."""

    def expect(self, method: bytes, *, upgrade: bool = False) -> None:
        """Begin to read the response to a request with ``method``, which may ask for an upgrade.

        Only after the response before it ended, with nothing behind it.
        """
        if self.state is not State.DONE:
            raise RuntimeError("the response before isn't read to its end")
        self._method = method
        self._may_upgrade = upgrade
        self._next_message()

    def feed(self, data: bytes) -> list[object]:
        """Take what arrived; return ``Interim``, ``ResponseHead``, ``bytes``, ``End``, or an error.

        Bytes behind the end make the response fail where they come along with it: a body that is
        longer than it said isn't one that may be cut to size. Later ones fail the connection, and
        so do those behind a response that ended with its head.
        """
        events: list[object] = []
        try:
            if self.state is State.HEAD:
                self._buffer += data
                while self.state is State.HEAD and self._head(events):
                    pass
            elif self.state is State.BODY:
                self._content(data, events)
            elif self.state is State.RAW:
                events.append(data)
            elif self.state is State.DONE:
                self._buffer += data
        except Malformed as error:
            return self._fail(error, events)
        if self.has_surplus:
            if events and not self.has_ended_with_head:
                events.pop()
            beginning = bytes(memoryview(self._buffer)[:12])
            surplus = Surplus(beginning, is_behind_head=self.has_ended_with_head)
            return self._fail(surplus, events)
        return events

    def end_of_stream(self) -> list[object]:
        """Take note that nothing more comes: ``End`` if that ends the body, else ``Malformed``."""
        if self.state is State.BODY and self._body.end_of_stream():
            self.state = State.DONE
            return [END]
        if self.state is State.RAW:
            self.state = State.DONE
            return [END]
        if self.state in (State.DONE, State.FAILED):
            return []
        return self._fail(Malformed("the connection ended in the middle of a response"), [])

    def _head(self, events: list[object]) -> bool:
        """Read one head off the buffer; tells whether there was one."""
        end = self._head_end(request=False)
        if not end:
            return False
        head = parse_response_head(self._buffer, end)
        if head.status == SWITCHING_PROTOCOLS:
            if not self._may_upgrade:
                raise Malformed("an upgrade that nobody asked for")
            events.append(head)
            self._leave_behind(end)
            self.state = State.RAW
            if self._buffer:
                events.append(bytes(self._buffer))
                self._buffer.clear()
        elif head.status < 200:  # noqa: PLR2004 - RFC 9110, 15.2
            events.append(Interim(head))
            self._leave_behind(end)
        else:
            framing = response_framing(head, self._method)
            self.has_ended_with_head = bodiless(self._method, head.status)
            events.append(head)
            if framing == 0:
                self._end_with_head(end, events)
            else:
                self._content(self._begin_body(framing, end), events)
        return True
