"""What an envelope holds, opened as it comes: bytes in, the head and pieces of the body out.

Each piece was authenticated. That the message is whole is known only at its end; whatever else
happens is a failure, and never looks like one.
"""

import logging
import secrets
from collections.abc import Callable

from proxy.core.binary_http.message import Malformed, RequestHead
from proxy.core.binary_http.reader import RequestReader
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields, Proven, values_of
from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.hpke import SealingKey
from proxy.core.sealing.message import Event, MessageOpener, Sealer
from proxy.core.sealing.request import RequestOpener
from proxy.core.text_files.size import show_size

log = logging.getLogger("proxy")


class OpenedRequest:
    """The request in one envelope; ``feed``, then ``take`` what came of its body."""

    __slots__ = (
        "_allowance",
        "_held",
        "_message",
        "_most",
        "_opener",
        "_owed",
        "_reader",
        "failure",
        "fields",
        "head",
        "is_whole",
        "length",
    )

    def __init__(self, find_key: Callable[[int], SealingKey | None]) -> None:
        self._reader = RequestReader()
        self._opener = RequestOpener(find_key)
        self._message = MessageOpener(self._opener, self._reader)
        self._most = self._allowance = -1
        self._held = b""
        """What was opened of the body and not taken yet."""
        self._owed: int | None = None
        """Bytes of the body that weren't taken yet, where the head says how many there are."""
        self.head: RequestHead | None = None
        self.fields: Fields = ()
        """Those of the head, and its authority as ``host``."""
        self.length: bytes | None = None
        """How long the body is, where the head says it."""
        self.is_whole = False
        """Whether it came to its end; a part of the body may be still to be taken."""
        self.failure: Refusal | None = None
        """Why nothing more can be opened; what came in front of it may still be taken."""

    def limit(self, most: int) -> None:
        """Open ``most`` bytes and no more."""
        self._most = self._allowance = most

    @property
    def is_opening(self) -> bool:
        """Whether more is to come."""
        return not self.is_whole and self.failure is None

    @property
    def has_opened(self) -> bool:
        """Whether anything was authentic yet: before that, anybody may have made it up."""
        return self._opener.has_opened

    @property
    def method(self) -> bytes:
        """The method, as soon as it was read; b"" before that."""
        return self._reader.method

    @property
    def enc(self) -> bytes:
        """The envelope's ephemeral key."""
        return self._opener.enc

    def feed(self, piece: bytes, *, ends: bool) -> None:
        """Open a piece of the envelope, which ends with it or doesn't; not behind a failure."""
        if self._most >= 0:
            self._allowance -= len(piece)
            if self._allowance < 0:
                self.failure = Refusal(Code.TOO_LARGE, f"more than {show_size(self._most)}")
                return
        try:
            if piece:
                self._take_in(self._message.feed(piece))
            if ends:
                self._take_in(self._message.end())
                if self.head is None:
                    raise Malformed("a message without a head")  # noqa: TRY301
                self.is_whole = True
        except Exception as error:  # noqa: BLE001 - a mistake of ours ends this request alone
            self.failure = self._refusal_of(error)

    @property
    def has_body(self) -> bool:
        """Whether a piece of the body waits, be it kept back or not."""
        return bool(self._held)

    def take(self) -> bytes:
        """Return what came of the body and may be passed on; b"" where that is nothing.

        Where its length was told, the last piece is kept back until the message is whole: with it
        whoever counts along would take the body for complete.
        """
        piece = self._held
        if not piece:
            return b""
        if self._owed is not None:
            if len(piece) >= self._owed and not self.is_whole:
                return b""
            self._owed -= len(piece)
        self._held = b""
        return piece

    def response_sealer(self) -> Sealer:
        """Return what seals the response, under a key of its own."""
        nonce = secrets.token_bytes(self._opener.response_nonce_length)
        return self._opener.response_sealer(nonce)

    def _take_in(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, bytes):
                self._held = self._held + event if self._held else event
            elif isinstance(event, RequestHead):
                self.head = event
                self.fields = Proven(((b"host", event.authority), *event.fields))
                if lengths := values_of(self.fields, b"content-length"):
                    self.length, self._owed = lengths[0], int(lengths[0])

    def _refusal_of(self, error: Exception) -> Refusal:
        """Return what ``error``, raised while opening, means to the sender."""
        if not isinstance(error, CannotOpen | Malformed):
            return mistake(error)
        if not self._opener.has_opened:
            return Refusal(Code.SEALING_KEY_UNKNOWN, str(error))
        is_large = isinstance(error, Malformed) and error.status == Code.HEAD_TOO_LARGE.status
        code = Code.HEAD_TOO_LARGE if is_large and self.head is None else Code.ENVELOPE_BROKEN
        return Refusal(code, str(error))


def mistake(error: Exception) -> Refusal:
    """Log a mistake of our own, and return what it is to the sender."""
    log.error("a mistake of our own", exc_info=error)
    return Refusal(Code.INTERNAL)
