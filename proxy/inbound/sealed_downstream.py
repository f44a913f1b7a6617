"""The way back out of an envelope: what answers the request inside is sealed, and sent outside.

``proxy.inbound.envelope`` is the way in.
"""

from proxy.core.binary_http.message import ResponseHead
from proxy.core.http.headers import Fields
from proxy.http.downstream import Downstream
from proxy.inbound.opened_request import OpenedRequest
from proxy.inbound.response_envelope import ResponseEnvelope


class SealedDownstream:
    """The response's half of an ``Envelope``, which sets these attributes."""

    __slots__ = ("_is_gone", "_opened", "_outer", "_response")

    _outer: Downstream
    _opened: OpenedRequest
    """What the response is sealed for."""
    _response: ResponseEnvelope | None
    _is_gone: bool
    """Whether nothing reaches the client any more."""

    @property
    def is_blocked(self) -> bool:
        """Whether to send on only behind ``resume_response``."""
        if self._is_gone:
            return False
        is_ending = self._response is not None and self._response.is_ending
        return is_ending or self._outer.is_blocked

    @property
    def bytes_in(self) -> int:
        """How many bytes of the envelope came."""
        return self._outer.bytes_in

    @property
    def bytes_out(self) -> int:
        """How many bytes were sent, under seal."""
        return self._outer.bytes_out

    @property
    def takes_interim(self) -> bool:
        """Whether interim responses reach the sender: they stay here."""
        return False

    @property
    def takes_upgrade(self) -> bool:
        """Whether the connection can leave HTTP: what is sealed doesn't."""
        return False

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send nothing."""

    def switch_protocols(self, fields: Fields) -> None:  # noqa: ARG002 - as any Downstream
        """Raise ``RuntimeError``: nobody may ask for this."""
        raise RuntimeError("no envelope leaves HTTP")

    def send_head(self, status: int, fields: Fields) -> None:
        """Begin the response, under seal."""
        if self._is_gone:
            return
        # To HEAD a response without content is due, also where the rest of it can't be read.
        method = self._opened.method or b"POST"
        head = ResponseHead(status, tuple(fields))
        sealer = self._opened.response_sealer()
        self._response = ResponseEnvelope(self._outer, sealer, method, head)
        self._response.begin()

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body, under seal; raises ``UpstreamFailed`` for a wrong length."""
        if self._is_gone:
            return
        if self._response is None:
            raise RuntimeError("a response's body before its head")
        self._response.send(piece, ends=ends)

    def break_off(self) -> None:
        """Reset the client's connection."""
        self._outer.break_off()
