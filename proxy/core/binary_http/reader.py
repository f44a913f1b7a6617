"""The state machines that read a message in binary form: bytes in, events out.

    state      what arrives                    events               next state
    FRAMING    the framing indicator           -                    CONTROL
    CONTROL    method and target, or a status  -                    FIELDS
    FIELDS     fields of a status 1xx          -                    CONTROL     (responses only)
    FIELDS     fields                          the head             BODY
    BODY       content, zeros                  bytes, ... COMPLETE  BODY
    any        what isn't allowed              raises Malformed     FAILED, which reads nothing

A message is whole only when ``end`` says so. Content that came together is handed on together, and
without a copy where it fills what was fed. Of a head only what is within its limits is ever held.
Source: RFC 9292, section 3; ``grammar`` and ``body`` say where this is stricter.
"""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Generic, TypeVar

from proxy.core.binary_http.body import Body
from proxy.core.binary_http.grammar import (
    announced_length,
    fields_of,
    is_informational,
    is_status,
    lines_of,
    read_lines,
    read_string,
    refuse_control,
)
from proxy.core.binary_http.message import COMPLETE, Complete, Malformed, RequestHead, ResponseHead
from proxy.core.binary_http.varint import Unfinished, read_varint
from proxy.core.http.headers import Field
from proxy.core.http1.framing import bodiless
from proxy.core.http1.grammar import MAX_HEAD

MAX_INFORMATIONAL = 16
"""Responses (1xx) in front of the final one; all of them and it share ``MAX_HEAD``."""

_ABSENT = b"\0\0\0"
"""What may be left out at a message's end, fields too, reads as if it were empty (section 3.8)."""
_CONTROL_STRINGS = 4

_Head = TypeVar("_Head", bound=RequestHead | ResponseHead)


class _At(Enum):
    FRAMING = auto()
    CONTROL = auto()
    FIELDS = auto()
    BODY = auto()
    FAILED = auto()


class _Reader(ABC, Generic[_Head]):
    """What both readers share: all but the control data."""

    _kinds: tuple[int, int]
    """The framing indicators for known length and for indeterminate length."""

    def __init__(self) -> None:
        self._at = _At.FRAMING
        self._is_known = False
        self._held = bytearray()
        """The beginning of a string or an integer, which takes ``_needed`` bytes or more."""
        self._needed = 0
        self._offset = 0
        """How many bytes of the message were read, without what is held."""
        self._strings: list[bytes] = []
        self._body = Body(0, is_known=False)

    def feed(self, data: bytes) -> list[_Head | bytes | Complete]:
        """Take a piece of the message; return the head, content and ``COMPLETE`` in order.

        Raises ``Malformed``: then what came before is no message either.
        """
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return []
            data = bytes(self._held)
            self._held.clear()
        events: list[_Head | bytes | Complete] = []
        pieces: list[bytes] = []
        was_complete = self._body.is_complete
        position = 0
        try:
            while position < len(data):
                if self._at is _At.BODY:
                    position = self._body.read(data, position, pieces)
                else:
                    position = self._read(data, position, events)
        except Unfinished as rest:
            position = rest.position
            self._needed = rest.needed
            self._held += memoryview(data)[position:]
        except Malformed:
            self._at = _At.FAILED
            raise
        self._offset += position
        if pieces:
            events.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._body.is_complete and not was_complete:
            events.append(COMPLETE)
        return events

    def end(self) -> list[_Head | bytes | Complete]:
        """Take note that nothing more comes; return what that completes.

        The message is whole if this returns. Raises ``Malformed`` where it breaks off.
        """
        if self._at is _At.BODY:
            if self._body.is_complete:
                return []
            may_end = self._body.lacks_only_zeros
        else:
            may_end = self._at is _At.FIELDS and self._is_known
        if self._held or not may_end:
            self._held.clear()
            self._at = _At.FAILED
            raise Malformed("the message breaks off")
        return self.feed(_ABSENT)

    def _read(self, data: bytes, position: int, events: list[_Head | bytes | Complete]) -> int:
        """Read what begins at ``position``; return the place behind it."""
        match self._at:
            case _At.FRAMING:
                kind, position = read_varint(data, position)
                if kind not in self._kinds:
                    raise Malformed(f"the framing indicator is {kind}, not one of {self._kinds}")
                self._is_known = kind == self._kinds[0]
                self._at = _At.CONTROL
            case _At.CONTROL:
                position = self._read_control(data, position, MAX_HEAD - self._offset)
                self._at = _At.FIELDS
            case _At.FIELDS:
                position = self._read_section(data, position, MAX_HEAD - self._offset)
                head = self._head(fields_of(self._strings))
                self._strings = []
                if head is None:
                    self._at = _At.CONTROL
                else:
                    self._body = Body(self._content_length(head), is_known=self._is_known)
                    self._at = _At.BODY
                    events.append(head)
            case _:
                raise Malformed("nothing is read after an error")
        return position

    def _read_section(self, data: bytes, position: int, last: int) -> int:
        """Read the names and values of a field section into ``_strings``."""
        if not self._is_known:
            return read_lines(data, position, last, self._strings)
        section, position = read_string(data, position, last)
        self._strings = lines_of(section)
        return position

    @abstractmethod
    def _read_control(self, data: bytes, position: int, last: int) -> int:
        """Read control data, which ends at ``last`` or before; return the place behind it."""

    @abstractmethod
    def _head(self, fields: tuple[Field, ...]) -> _Head | None:
        """Return the head that ends with ``fields``, None for that of a status 1xx."""

    def _content_length(self, head: _Head) -> int | None:
        """Return how long the content behind ``head`` is, None if it isn't said."""
        return announced_length(head.fields)


class RequestReader(_Reader[RequestHead]):
    """Reads one request."""

    _kinds = (0, 2)

    def __init__(self) -> None:
        super().__init__()
        self._control: list[bytes] = []

    @property
    def method(self) -> bytes:
        """The request's method, as soon as it was read; b"" before that."""
        return self._control[0] if self._control else b""

    def _read_control(self, data: bytes, position: int, last: int) -> int:
        while len(self._control) < _CONTROL_STRINGS:
            string, position = read_string(data, position, last)
            self._control.append(string)
        refuse_control(*self._control)
        return position

    def _head(self, fields: tuple[Field, ...]) -> RequestHead:
        method, scheme, authority, target = self._control
        return RequestHead(method, scheme, authority, target, fields)


class ResponseReader(_Reader[ResponseHead]):
    """Reads the response to one request with ``method``."""

    _kinds = (1, 3)

    def __init__(self, method: bytes) -> None:
        super().__init__()
        self._method = method
        self._status = 0
        self._informational = 0

    def _read_control(self, data: bytes, position: int, last: int) -> int:  # noqa: ARG002 - 8 bytes at most
        self._status, position = read_varint(data, position)
        if not is_status(self._status):
            raise Malformed(f"a response with status {self._status}")
        self._informational += is_informational(self._status)
        if self._informational > MAX_INFORMATIONAL:
            raise Malformed(f"more than {MAX_INFORMATIONAL} informational responses")
        return position

    def _head(self, fields: tuple[Field, ...]) -> ResponseHead | None:
        if is_informational(self._status):
            return None
        return ResponseHead(self._status, fields)

    def _content_length(self, head: ResponseHead) -> int | None:
        """Return 0 where there can't be content: what the field says isn't sent then."""
        length = announced_length(head.fields)
        return 0 if bodiless(self._method, head.status) else length
