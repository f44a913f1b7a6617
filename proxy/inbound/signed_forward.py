"""A signed request and its response, held: neither may be believed in part.

Nothing of a body that somebody changed may reach an app, and nothing of a response goes on before
all of it can be signed.
"""

from collections.abc import Callable

from proxy.core.errors import Code
from proxy.core.gate import Admission
from proxy.core.http.headers import Field, Fields
from proxy.core.signature.digest import BodyDigest
from proxy.http.downstream import Downstream
from proxy.http.upstream import UpstreamExchange
from proxy.inbound.context import InboundContext
from proxy.transfer.body import Stage, refuse_large
from proxy.transfer.buffered_body import BufferedBody
from proxy.transfer.held_body import BodyHolder


class SignedForward:
    """The two bodies of one signed request; ``close`` it."""

    __slots__ = (
        "_admission",
        "_client",
        "_digest",
        "_fail",
        "_framing",
        "_holder",
        "_limits",
        "_on_proven",
        "body",
        "fields",
        "status",
        "their_body",
    )

    def __init__(
        self,
        context: InboundContext,
        admission: Admission,
        framing: Field | None,
        client: Downstream,
        fail: Callable[[Exception], None],
    ) -> None:
        """Raise ``Refusal`` for a body that is said to be too large."""
        self._limits = context.limits
        limit = min(self._limits.held_body, self._limits.body)
        refuse_large(framing, limit)
        self._admission = admission
        self._framing = framing
        self._client = client
        self._fail: Callable[[Exception], None] | None = fail
        self._digest = BodyDigest(admission.digests)
        self._holder: BodyHolder | None = None
        self._on_proven: Callable[[], None] | None = None
        self.body = BufferedBody(limit)
        """The request's."""
        self.their_body = BufferedBody(self._limits.held_body)
        """The response's."""
        self.status: int | None = None
        self.fields: Fields = ()

    def hold(self, on_proven: Callable[[], None]) -> None:
        """Hold the body; ``on_proven`` is called once it has its digest. Raises ``Refusal``."""
        if self._framing is None:
            self._digest.refuse_mismatch()
            on_proven()
            return
        self._on_proven = on_proven
        client = self._client
        self._holder = BodyHolder(
            self.body,
            limit=Code.TOO_LARGE,
            pause=client.pause,
            resume=client.resume,
            on_held=self._held,
            on_failure=self._failed,
            digest=self._digest,
        )
        client.invite()
        client.resume()

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece of the request's body."""
        if self._holder is not None:
            self._holder.receive(piece, ends=ends)

    def _held(self) -> None:
        self._holder = None
        on_proven, self._on_proven = self._on_proven, None
        if on_proven is None:
            return
        try:
            self._digest.refuse_mismatch()
            on_proven()
        except Exception as error:  # noqa: BLE001 - the disk's thread may be who calls
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        fail, self._fail = self._fail, None
        if fail is not None:
            fail(error)

    def response(
        self,
        status: int,
        fields: Fields,
        exchange: UpstreamExchange,
        on_held: Callable[[], None],
    ) -> Stage:
        """Hold the response with this head; return what takes its body.

        An app that has answered was asked: a full disk isn't told as if it hadn't been.
        """
        self.status, self.fields = status, fields
        self._holder = holder = BodyHolder(
            self.their_body,
            limit=Code.ANSWER_TOO_LARGE,
            full=Code.APP_FAILED,
            pause=exchange.pause,
            resume=exchange.resume,
            on_held=on_held,
            on_failure=self._failed,
        )
        return holder.receive

    def close(self) -> None:
        """Let go of both bodies."""
        self._fail = self._on_proven = None
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        self.body.close()
        self.their_body.close()
