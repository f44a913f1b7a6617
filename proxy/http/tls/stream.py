"""TLS over bytes: OpenSSL between two buffers in memory, which stay small.

Those buffers grow to the most that they ever held, and never shrink. So OpenSSL is given one record
after the other, and asked for content where there is some: to ask in vain costs as much as to
decrypt a small record. What has to wait, waits outside.
"""

import ssl
from contextlib import suppress
from typing import Any

_RECORD = 16 * 1024
"""Bytes of content in a record, at most (RFC 8446, section 5.1)."""
_HEADER = 5
_MAJOR_VERSION = 3
_LONGEST = _HEADER + _RECORD + 2048
"""Bytes of a record as it is sent, at most, in any version (RFC 5246, section 6.2.3)."""
_NOTHING = memoryview(b"")

Bytes = bytes | bytearray | memoryview


class TlsStream:
    """One side of a TLS connection."""

    __slots__ = (
        "_early",
        "_incoming",
        "_is_partial",
        "_left",
        "_outgoing",
        "_waiting",
        "has_ended",
        "tls",
    )

    def __init__(
        self, context: ssl.SSLContext, *, is_server: bool, server_hostname: str | None = None
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=is_server, server_hostname=server_hostname
        )
        self._left = 0
        """How many bytes OpenSSL needs for the record that it has the beginning of."""
        self._is_partial = False
        """Whether nothing but that beginning waits for OpenSSL."""
        self._waiting = _NOTHING
        """What came and OpenSSL wasn't given."""
        self._early = _NOTHING
        """What was decrypted before somebody asked for it."""
        self.has_ended = False
        """Whether the other side said, and TLS vouches for it, that nothing more comes."""

    def shake(self, data: memoryview) -> bool:
        """Go on with the handshake; tell whether it is done. Raises ``ssl.SSLError``."""
        data = self._with_waiting(data)
        while data and (len(data) >= _HEADER or self._left):
            data = self._give(data)
        self._keep(data)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def take_outgoing(self) -> bytes:
        """Return what is to be sent for TLS itself."""
        return self._outgoing.read() if self._outgoing.pending else b""

    # What comes.

    @property
    def has_more(self) -> bool:
        """Whether something may be read without anything more to come."""
        if self._early or self.has_ended:
            return bool(self._early)
        is_given = self._incoming.pending and not self._is_partial
        return bool(len(self._waiting) >= _HEADER or is_given or self.tls.pending())

    def read(self, data: memoryview, into: memoryview) -> int:
        """Take in ``data``, and decrypt ``into``; returns how many bytes. Raises ``ssl.SSLError``.

        What doesn't fit waits for the next call.
        """
        if self._waiting:
            data = self._with_waiting(data)
        if self._early:
            self._keep(data)
            count = min(len(self._early), len(into))
            into[:count] = self._early[:count]
            self._early = self._early[count:] if count < len(self._early) else _NOTHING
            return count
        count, rest = self._decrypt(data, into)
        if rest:
            self._keep(rest)
        return count

    def _decrypt(self, data: memoryview, into: memoryview) -> tuple[int, memoryview]:
        """Decrypt what is there; returns how much, and what of ``data`` wasn't needed for it."""
        incoming, tls = self._incoming, self.tls
        count, size = 0, len(into)
        while count < size and not self.has_ended:
            if (self._is_partial or not incoming.pending) and (
                len(data) >= _HEADER or (data and self._left)
            ):
                data = self._give(data)
                self._is_partial = self._left > 0
                if self._is_partial:
                    break
            elif not (incoming.pending or tls.pending()):
                break
            try:
                got: Any = tls.read(size - count, into[count:])
            except ssl.SSLWantReadError:  # the record was TLS's own
                continue
            except ssl.SSLZeroReturnError:
                got = 0
            count += got
            self.has_ended = not got
        return count, data

    def _give(self, data: memoryview) -> memoryview:
        """Give OpenSSL the rest of a record, or as much as there is; return what is behind it.

        What can't be a record is given as it is: OpenSSL says so at once.
        """
        left = self._left or _HEADER + (data[3] << 8 | data[4])
        if left > _LONGEST or not (self._left or data[1] == _MAJOR_VERSION):
            self._incoming.write(data[:_LONGEST])
            self._left = 0
            return _NOTHING
        given = self._incoming.write(data[:left])
        self._left = left - given
        return data[given:]

    def _with_waiting(self, data: memoryview) -> memoryview:
        waiting, self._waiting = self._waiting, _NOTHING
        if not data:
            return waiting
        return memoryview(b"".join((waiting, data))) if waiting else data

    def _keep(self, rest: memoryview) -> None:
        self._waiting = memoryview(bytes(rest)) if rest else _NOTHING

    # What goes.

    def write(self, data: Bytes) -> list[bytes]:
        """Return ``data`` encrypted, in pieces. Raises ``ssl.SSLError``."""
        if len(data) <= _RECORD:
            self.tls.write(data)
            return [self._outgoing.read()]
        out, left = [], memoryview(data)
        while left:
            left = left[self.tls.write(left[:_RECORD]) :]
            out.append(self._outgoing.read())
        return out

    def end(self) -> None:
        """Say our end, close_notify; the other side may go on. Raises ``ssl.SSLError``.

        OpenSSL also looks whether the other's has come, and takes content that it finds there for
        an error. So what it was given already is taken out of it before.
        """
        early = bytearray(self._early)
        piece = memoryview(bytearray(_RECORD))
        while not self.has_ended and (self._incoming.pending or self.tls.pending()):
            count, _ = self._decrypt(_NOTHING, piece)
            early += piece[:count]
        self._early = memoryview(bytes(early)) if early else _NOTHING
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):  # theirs hasn't come yet
            self.tls.unwrap()
