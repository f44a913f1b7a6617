"""A Binary HTTP message in an envelope: written, sealed and padded; opened and read.

The two layers of a sealed call put together (docs/protocol.md, section 5). What comes out of
``MessageOpener`` was authenticated and well formed; a message is whole only once ``end`` returned.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from proxy.core.binary_http.message import Complete, RequestHead, ResponseHead
from proxy.core.binary_http.writer import END, content, padding

Event = RequestHead | ResponseHead | bytes | Complete
"""The head, a piece of the content, or that the message is complete but for zeros."""


_ZEROS = 1 << 16
"""Bytes of padding that are sealed at once."""


class Sealer(Protocol):
    """The sealing half of an envelope: a request's or a response's."""

    @property
    def header(self) -> bytes:
        """What goes before the first chunk."""

    def seal(self, plaintext: bytes) -> bytes:
        """Return ``plaintext`` as chunks."""

    def finish(self, plaintext: bytes = b"") -> bytes:
        """Return ``plaintext`` as chunks, of which the last is the final one."""


class Opener(Protocol):
    """The opening half; raises ``CannotOpen``."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return what can be opened of ``data`` and what came before."""

    def end(self) -> bytes:
        """Return what the final chunk holds."""


class Reader(Protocol):
    """A reader of Binary HTTP; raises ``Malformed``."""

    def feed(self, data: bytes) -> Sequence[Event]:
        """Return the events in ``data`` and what came before."""

    def end(self) -> Sequence[Event]:
        """Return the last events of a message that is complete."""


class MessageSealer:
    """Seals one message, whose head is already in Binary HTTP."""

    def __init__(self, sealer: Sealer, head: bytes) -> None:
        self._sealer = sealer
        self._waiting = head
        self._length = len(head)
        self._prefix = sealer.header

    def add(self, piece: bytes) -> None:
        """Take in a piece of content, to be sealed with what follows."""
        written = content(piece)
        self._length += len(written)
        self._waiting = self._waiting + written if self._waiting else written

    def flush(self) -> bytes:
        """Return all that was taken in, sealed; b"" where there is nothing."""
        if not self._waiting:
            return b""
        waiting, self._waiting = self._waiting, b""
        return self._prefixed(self._sealer.seal(waiting))

    def end(self) -> bytes:
        """Return what ``ending`` yields, at once: for messages that aren't large."""
        return b"".join(self.ending())

    def ending(self) -> Iterator[bytes]:
        """Yield what is left, the end of the message and its padding, sealed; the final part last.

        In more than one part only where there is much padding: up to 32 MiB behind 1 GiB.
        """
        zeros = padding(self._length + len(END))
        rest, self._waiting = self._waiting + END, b""
        while zeros > _ZEROS:
            yield self._prefixed(self._sealer.seal(rest + bytes(_ZEROS)))
            rest, zeros = b"", zeros - _ZEROS
        yield self._prefixed(self._sealer.finish(rest + bytes(zeros)))

    def _prefixed(self, sealed: bytes) -> bytes:
        prefix, self._prefix = self._prefix, b""
        return prefix + sealed if prefix else sealed


class MessageOpener:
    """Opens and reads one message."""

    def __init__(self, opener: Opener, reader: Reader) -> None:
        self._opener = opener
        self._reader = reader

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes; raises ``CannotOpen`` and ``Malformed``."""
        opened = self._opener.feed(data)
        if not opened:
            return []
        # As one: each piece of a body costs whoever passes it on a turn of its own.
        return list(self._reader.feed(opened[0] if len(opened) == 1 else b"".join(opened)))

    def end(self) -> list[Event]:
        """Return the last events at the end of the stream; raises as ``feed`` does.

        The message is whole if this returns, and can't be believed to be whole before.
        """
        return [*self._reader.feed(self._opener.end()), *self._reader.end()]
