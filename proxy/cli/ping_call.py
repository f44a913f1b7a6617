"""One harmless call to a contact's Portal itself: who it is, which any peer may ask.

Signed for a time long ago, it is a question for the peer's clock: a Portal refuses it before it
looks at its contacts, says under its own proof what time it has, and carries nothing out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from proxy.cli.call_body import TypedBody
from proxy.cli.call_transport import transport
from proxy.core.access.policy import Contact
from proxy.core.errors import Refusal
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import Document
from proxy.http.upstream import Upstream, UpstreamFailed
from proxy.outbound.call import Call
from proxy.outbound.identity_documents import Directory
from proxy.portal_paths import WHOAREYOU

LONG_AGO = 1_000_000_000
"""In 2001: no Portal's clock stands there, not even one that begins at 1970 without a battery."""
_LONGEST = 65_536
"""Bytes of a response that are read."""


class NoResponse(Exception):
    """Nothing that could be believed came back; the message says why."""


@dataclass(frozen=True)
class Response:
    """A proven response of the Portal."""

    status: int
    code: str
    """With which it refused; "": it didn't."""
    their_time: int | None
    """What it told as its time, in Unix seconds."""
    seconds: float
    """How long it took."""


class _OneDocument(Directory):
    """A directory of the one document that was looked at: nothing is fetched behind it."""

    def __init__(self, upstream: Upstream, document: Document) -> None:
        super().__init__(upstream)
        self._document = document

    async def document(self, contact: Contact) -> Document:  # noqa: ARG002 - the base's signature
        return self._document

    async def renewed(self, contact: Contact, document: Document) -> Document:  # noqa: ARG002 - likewise
        return self._document


@dataclass(frozen=True)
class PingCall:
    """What is asked of one contact; ``patience`` is seconds for each response."""

    contact: Contact
    key: PrivateKey
    upstream: Upstream
    patience: float

    async def ask(
        self,
        document: Document | None,
        clock: Callable[[], float],
        at: int | None,
        *,
        body: AsyncIterator[bytes] | None = None,
        size: int | None = None,
        wait: int = 0,
    ) -> Response:
        """Ask who it is, signed for ``at``, or for now by ``clock``; raises ``NoResponse``.

        A sealed call needs the ``document``. With a ``body`` of so many bytes, and to be answered
        after so many seconds, where that is wanted.
        """
        fields = ((b"prefer", b"wait=%d" % wait),) if wait else ()
        call = Call(
            None, self.contact, b"GET", WHOAREYOU, fields, has_body=body is not None, size=size,
            at=at,
        )  # fmt: skip
        directory = _OneDocument(self.upstream, document) if document else Directory(self.upstream)
        calls = transport(self.contact.mode, self.key, self.upstream, directory, clock)
        started, came = time.monotonic(), 0
        try:
            async with (
                asyncio.timeout(self.patience),
                calls.carry_out(call, TypedBody(b"") if body is None else body) as response,
            ):
                async for piece in response.pieces:
                    came += len(piece)
                    if came > _LONGEST:
                        raise NoResponse(f"its response is longer than {_LONGEST} bytes.")
        except Refusal as refusal:
            raise NoResponse(f"{refusal.code.title} {refusal.detail}") from None
        except UpstreamFailed as failure:
            raise NoResponse(f"its response broke off: {failure.detail}") from None
        except TimeoutError:
            raise NoResponse(f"it doesn't answer within {self.patience:g} s.") from None
        told = response.refusal
        return Response(response.status, told.code, told.now, time.monotonic() - started)
