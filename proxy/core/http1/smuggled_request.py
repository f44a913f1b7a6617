"""Whether a body could be taken for a request by a server that didn't read it (CL.0).

Such a server answers, and reads on where the body begins, or where it stopped reading. To be wrong
costs a connection where nothing was meant; so what is doubtful counts as a request.
"""

import re

_BEGINNING = 256
_BLANK = rb"[\x09\x0b\x0c\x1c-\x1f \x85\xa0]"
"""What servers split a request line at; some take Python's idea of white space for it."""
_METHOD = re.compile(
    rb"(?:[\r\n]|" + _BLANK + rb")*(?:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(?:" + _BLANK + rb"|\Z)|\Z)"
)
_VERSION = b"HTTP/"


class SmuggledRequest:
    """Looks at a body as it passes, piece by piece."""

    __slots__ = ("_beginning", "_has_version", "_tail")

    def __init__(self) -> None:
        self._beginning = b""
        self._tail = b""
        self._has_version = False

    def feed(self, piece: bytes) -> None:
        """Look at the next piece."""
        if len(self._beginning) < _BEGINNING:
            self._beginning += piece[: _BEGINNING - len(self._beginning)]
        if not self._has_version:
            overlap = self._tail + piece[: len(_VERSION) - 1]
            self._has_version = _VERSION in piece or _VERSION in overlap
            self._tail = (self._tail + piece[-len(_VERSION) + 1 :])[-len(_VERSION) + 1 :]

    @property
    def is_likely(self) -> bool:
        """Whether the body begins like a request line, or names a version anywhere."""
        return self._has_version or _METHOD.match(self._beginning) is not None
