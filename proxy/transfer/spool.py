"""Bodies that are buffered because their apps must be told the length before any of it comes.

Servers of HTTP/1.0 can't read chunks: they take such a body for an empty one, and answer 200.
"""

import logging
from collections.abc import Callable

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, Fields
from proxy.core.text_files.size import show_size
from proxy.http.upstream import Destination
from proxy.transfer.buffered_body import BufferedBody
from proxy.transfer.held_body import BodyHolder

log = logging.getLogger("proxy.upstream")


class Spool:
    """What all such bodies share: the bytes that they may take together, in memory and on disk."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def count(self, size: int) -> None:
        """Count ``size`` more, whether or not it raises: ``Refusal`` above the limit."""
        self.taken += size
        if self.taken > self.limit:
            raise Refusal(Code.CANNOT_HOLD, f"{show_size(self.limit)} are buffered already")


class SpoolHolder:
    """One body by callbacks: held as by a ``BodyHolder``, and counted until ``close``."""

    __slots__ = ("_holder", "_on_failure", "_size", "_spool", "_to", "body")

    def __init__(
        self,
        spool: Spool,
        to: Destination,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        on_held: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """``to`` is named in the log where the body is refused. The rest is a ``BodyHolder``'s."""
        self._spool = spool
        self._to = to
        self._on_failure: Callable[[Exception], None] | None = on_failure
        self.body = BufferedBody(spool.limit)
        self._holder: BodyHolder | None = BodyHolder(
            self.body,
            limit=Code.CANNOT_HOLD,
            pause=pause,
            resume=resume,
            on_held=on_held,
            on_failure=self._fail,
        )
        self._size = 0

    def receive(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece, which may be b""; ``ends`` with the last one."""
        if self._holder is None:
            return
        self._size += len(piece)
        try:
            self._spool.count(len(piece))
        except Refusal as refusal:
            self._fail(refusal)
        else:
            self._holder.receive(piece, ends=ends)

    def close(self) -> None:
        """Let go of the body, and count it no more; calls nothing any more."""
        if self._holder is not None:
            self._holder.close()
            self._holder = self._on_failure = None
            self.body.close()
            self._spool.taken -= self._size

    def _fail(self, error: Exception) -> None:
        on_failure = self._on_failure
        self.close()
        _log(self._to, error)
        if on_failure is not None:
            on_failure(error)


def fields_of_spooled(fields: Fields, size: int) -> tuple[Field, ...]:
    """Return a request's fields with the length of a body that is all there."""
    length = (b"content-length", b"%d" % size)
    told = (length if field[0] == b"transfer-encoding" else field for field in fields)
    # It is asked for and here: nothing need be waited for any more.
    return tuple(field for field in told if field[0] != b"expect")


def _log(to: Destination, error: BaseException) -> None:
    if isinstance(error, Refusal) and error.code in (Code.CANNOT_HOLD, Code.STORAGE_FULL):
        log.warning(
            "%s speaks HTTP/1.0, so the length of a body must be told: %s", to, error.detail
        )
