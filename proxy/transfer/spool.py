"""Bodies that are buffered because their apps must be told the length before any of it comes.

Servers of HTTP/1.0 can't read chunks: they take such a body for an empty one, and answer 200.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from types import TracebackType

from proxy.core.errors import Code, Refusal
from proxy.core.text_files.size import show_size
from proxy.http.upstream import UpstreamRequest
from proxy.transfer.buffered_body import BufferedBody

log = logging.getLogger("proxy.upstream")


class Spool:
    """What all such bodies share: the bytes that they may take together, in memory and on disk."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def whole(self, request: UpstreamRequest) -> "_Spooled":
        """Buffer the body of ``request``; inside the context is the same request with its length.

        Raises ``Refusal`` where the body is too large, or isn't what it should be.
        """
        return _Spooled(self, request)


class _Spooled:
    """One body, while it comes and until it has gone."""

    def __init__(self, spool: Spool, request: UpstreamRequest) -> None:
        self._spool = spool
        self._request = request
        self._size = 0
        self._body = BufferedBody(spool.limit)

    async def __aenter__(self) -> UpstreamRequest:
        request = self._request
        if request.body is None:
            raise TypeError("only a body can be spooled")
        try:
            await self._body.fill(self._counted(request.body), limit=Code.CANNOT_HOLD)
        except BaseException as error:
            self._release()
            if isinstance(error, Refusal) and error.code in (Code.CANNOT_HOLD, Code.STORAGE_FULL):
                log.warning(
                    "%s speaks HTTP/1.0, so the length of a body must be told: %s",
                    request.to,
                    error.detail,
                )
            raise
        length = (b"content-length", b"%d" % self._size)
        fields = tuple(length if f[0] == b"transfer-encoding" else f for f in request.fields)
        # It is asked for and here: nothing need be waited for any more.
        fields = tuple(f for f in fields if f[0] != b"expect")
        return replace(request, fields=fields, body=self._body.pieces(), has_begun=None)

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        self._spool.taken -= self._size
        self._size = 0
        self._body.__exit__()

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        spool = self._spool
        async for piece in pieces:
            self._size += len(piece)
            spool.taken += len(piece)
            if spool.taken > spool.limit:
                what = f"{show_size(spool.limit)} are buffered already"
                raise Refusal(Code.CANNOT_HOLD, what)
            yield piece
