"""Whether a body could be taken for a request by a server that didn't read it (CL.0).

Such a server answers, and reads on where the body begins, or where it stopped reading. To be wrong
costs a connection where nothing was meant; so what is doubtful counts as a request. A large body is
doubtful, too: to look through all of it costs more than another connection.
"""

import re

_BEGINNING = 256
_LARGE = 4 * 1024 * 1024
_BLANK = rb"[\x09\x0b\x0c\x1c-\x1f \x85\xa0]"
"""What servers split a request line at; some take Python's idea of white space for it."""
_METHOD = re.compile(
    rb"(?:[\r\n]|" + _BLANK + rb")*(?:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(?:" + _BLANK + rb"|\Z)|\Z)"
)
_VERSION = b"HTTP/"


class SmuggledRequest:
    """Looks at a body as it passes, piece by piece."""

    __slots__ = ("_beginning", "_is_doubtful", "_left", "_tail")

    def __init__(self) -> None:
        self._beginning = b""
        self._tail = b""
        self._left = _LARGE
        """How many bytes more are looked through."""
        self._is_doubtful = False
        """Whether it names a version, or is large."""

    def feed(self, piece: bytes) -> None:
        """Look at the next piece."""
        if self._is_doubtful:
            return
        if len(self._beginning) < _BEGINNING:
            self._beginning += piece[: _BEGINNING - len(self._beginning)]
        self._left -= len(piece)
        overlap = self._tail + piece[: len(_VERSION) - 1]
        self._is_doubtful = self._left < 0 or _VERSION in piece or _VERSION in overlap
        self._tail = (self._tail + piece[-len(_VERSION) + 1 :])[-len(_VERSION) + 1 :]

    @property
    def is_likely(self) -> bool:
        """Whether the body begins like a request line, names a version anywhere, or is large."""
        return self._is_doubtful or _METHOD.match(self._beginning) is not None
