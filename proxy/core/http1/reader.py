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

from proxy.core.http.headers import index_of
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


_HEAD, _BODY, _RAW, _DONE, _FAILED = State
"""CPython 3.11 takes as long for ``State.HEAD`` as for a call, and each head asks twenty times."""


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
        self.state = _HEAD
        self._buffer: bytes | bytearray = b""
        """What is held: what came, as it came, until more comes or only a part of it goes."""
        self._looked_at = 0
        self._has_line = False
        self._body: Body = body_of(0)

    @property
    def held(self) -> int:
        """How many bytes are held that no event was made of yet."""
        return len(self._buffer)

    def stop(self) -> None:
        """Read nothing more, whatever comes."""
        self.state = _FAILED
        self._buffer = b""

    @property
    def has_surplus(self) -> bool:
        """Whether bytes are held that don't belong to the current message."""
        return self.state is _DONE and bool(self._buffer)

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a message has arrived."""
        return self.state is _HEAD and not self._buffer

    def _hold(self, data: bytes) -> None:
        """Hold ``data`` behind what is held. A head that comes in one piece isn't copied."""
        if not self._buffer:
            self._buffer = data
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def _drop(self, count: int) -> None:
        """Forget the first ``count`` bytes of what is held.

        Messages that came together stay where they are: to copy those behind each would cost the
        other side nothing, and us the square of their number.
        """
        if count == len(self._buffer):
            self._buffer = b""
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        del self._buffer[:count]

    def _head_end(self, *, request: bool) -> int:
        """Return where the buffered head ends, or 0 while it hasn't; raises ``Malformed``."""
        looked_at = self._looked_at
        found = self._buffer.find(_BLANK, max(looked_at - 3, 0) if looked_at else 0)
        if found >= 0 and found + 4 <= MAX_HEAD:
            return found + 4
        if found >= 0 or len(self._buffer) > MAX_HEAD:
            raise Malformed(f"the head is larger than {MAX_HEAD} bytes", 431)
        self._has_line = refuse_hopeless(
            self._buffer, looked_at, request=request, has_line=self._has_line
        )
        self._looked_at = len(self._buffer)
        return 0

    def _begin_body(self, framing: Framing, head_end: int, events: list[object]) -> None:
        """Leave the head behind, with what arrived of the body: all of it, where it has none."""
        end, is_whole = len(self._buffer), False
        if isinstance(framing, int) and head_end + framing <= end:
            end, is_whole = head_end + framing, True
        content = bytes(self._buffer[head_end:end])
        self._leave_behind(end)
        if is_whole:
            if content:
                events.append(content)
            events.append(END)
            self.state = _DONE
            return
        self._body = body_of(framing)
        self.state = _BODY
        if content:
            self._content(content, events)

    def _leave_behind(self, end: int) -> None:
        """Forget a head that was read up to ``end``."""
        self._drop(end)
        self._looked_at = 0
        self._has_line = False

    def _fail(self, error: Malformed, events: list[object]) -> list[object]:
        self.state = _FAILED
        # Its traceback holds this list, which holds it: they and all callers would be garbage.
        events.append(error.with_traceback(None))
        return events

    def _content(self, data: bytes, events: list[object]) -> None:
        """Cut ``data`` into content; keep what comes after the end."""
        used = self._body.feed(data, events)
        if self._body.is_complete:
            self.state = _DONE
            events.append(END)
            self._hold(data[used:])

    def _next_message(self) -> None:
        if self.state is not _FAILED:
            self.state = _HEAD


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
            if self.state is _HEAD:
                self._hold(data)
                self._head(events)
            elif self.state is _BODY:
                self._content(data, events)
            elif self.state is _RAW:
                events.append(data)
            elif self.state is _DONE:
                self._hold(data)
        except Malformed as error:
            return self._fail(error, events)
        return events

    def upgrade(self) -> bytes:
        """Leave HTTP behind a whole request; return what has arrived of whatever follows it."""
        if self.state is not _DONE:
            raise RuntimeError("an upgrade in the middle of a request")
        self.state = _RAW
        held, self._buffer = bytes(self._buffer), b""
        return held

    def next_message(self) -> list[object]:
        """Begin the next request, with what of it has arrived; after a failure there is none."""
        self._next_message()
        self._may_skip_line = True
        return self.feed(b"") if self._buffer else []

    def end_of_stream(self) -> list[object]:
        """Take note that nothing more comes: ``Malformed`` in the middle of a request."""
        if self.state is _BODY or (self.state is _HEAD and self._buffer):
            return self._fail(Malformed("the connection ended in the middle of a request"), [])
        return []

    def _head(self, events: list[object]) -> None:
        if self._may_skip_line and self._buffer[:1] == b"\r":
            self._skip_empty_line()
        end = self._head_end(request=True)
        if not end:
            return
        head = parse_request_head(self._buffer, end)
        hosts = index_of(head.fields).get(b"host", ())
        if len(hosts) != 1 and (hosts or head.minor):
            raise Malformed(f"{len(hosts)} Host fields")
        framing = request_framing(head)
        events.append(head)
        self._begin_body(framing, end, events)

    def _skip_empty_line(self) -> None:
        """Ignore one empty line in front of a request line (RFC 9112, section 2.2), and only one.

        A client that sends nothing else would otherwise have its time begin anew with each.
        """
        if self._buffer.startswith(b"\r\n"):
            self._drop(2)
            self._may_skip_line = False
        elif not b"\r\n".startswith(self._buffer):
            self._may_skip_line = False


class ResponseReader(_Reader):
    """Reads the response to one request after the other; ``expect`` begins each."""

    __slots__ = ("_may_upgrade", "_method", "has_ended_with_head")

    def __init__(self) -> None:
        super().__init__()
        self.state = _DONE
        self._method = b""
        self._may_upgrade = False
        self.has_ended_with_head = False
        """Whether the response has no body: its head was its end (RFC 9112, section 6.3)."""

    def expect(self, method: bytes, *, upgrade: bool = False) -> None:
        """Begin to read the response to a request with ``method``, which may ask for an upgrade.

        Only after the response before it ended, with nothing behind it.
        """
        if self.state is not _DONE:
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
            if self.state is _HEAD:
                self._hold(data)
                while self._head(events) and self.state is _HEAD:
                    pass
            elif self.state is _BODY:
                self._content(data, events)
            elif self.state is _RAW:
                events.append(data)
            elif self.state is _DONE:
                self._hold(data)
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
        if self.state is _BODY and self._body.end_of_stream():
            self.state = _DONE
            return [END]
        if self.state is _RAW:
            self.state = _DONE
            return [END]
        if self.state in (_DONE, _FAILED):
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
            self.state = _RAW
            if self._buffer:
                events.append(bytes(self._buffer))
                self._buffer = b""
        elif head.status < 200:  # noqa: PLR2004 - RFC 9110, 15.2
            events.append(Interim(head))
            self._leave_behind(end)
        else:
            framing = response_framing(head, self._method)
            self.has_ended_with_head = framing == 0 and bodiless(self._method, head.status)
            events.append(head)
            self._begin_body(framing, end, events)
        return True
