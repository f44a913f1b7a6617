"""Checks of a body that streams: pieces in, pieces out, a ``Refusal`` where one may not go on."""

from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest
from proxy.core.text_files.size import show_size
from proxy.transfer.body import Stage


class LimitedBody:
    """A body whose length isn't told: refused once it is above ``limit`` bytes."""

    __slots__ = ("_left", "_limit", "_to")

    def __init__(self, to: Stage, limit: int) -> None:
        self._to = to
        self._limit = limit
        self._left = limit

    def receive(self, piece: bytes, *, ends: bool) -> None:
        """Pass a piece on; raises ``Refusal``."""
        self._left -= len(piece)
        if self._left < 0:
            raise Refusal(Code.TOO_LARGE, f"more than {show_size(self._limit)}")
        self._to(piece, ends=ends)


class ProvenBody:
    """A body that must have its digest: its last piece is kept until that is proven.

    An app that was told the length would take it for the end.
    """

    __slots__ = ("_digest", "_last", "_to")

    def __init__(self, to: Stage, digest: BodyDigest) -> None:
        self._to = to
        self._digest = digest
        self._last = b""

    def receive(self, piece: bytes, *, ends: bool) -> None:
        """Pass on the piece before this one, and both at the end; raises ``Refusal``."""
        last = self._last
        if piece:
            self._digest.update(piece)
            self._last = piece
            if last:
                self._to(last, ends=False)
                last = piece
        if ends:
            self._digest.refuse_mismatch()
            last, self._last = self._last, b""
            self._to(last, ends=True)
