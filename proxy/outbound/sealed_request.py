"""The request of a sealed call: what one of its tries is signed with, and sealed to."""

import base64
import secrets
import time

from proxy.core.binary_http.message import RequestHead
from proxy.core.binary_http.writer import request_head
from proxy.core.errors import Code, Refusal
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import Document
from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.core.sealing.envelope import CHUNKED_REQUEST, GATEWAY, INCREMENTAL
from proxy.core.sealing.message import MessageSealer
from proxy.core.sealing.request import RequestSealer
from proxy.core.signature.parameters import NONCE_BYTES
from proxy.core.signature.request import sign_request
from proxy.http.upstream import ANYBODY, BytesBody, UpstreamRequest
from proxy.outbound.call import Call, peer_name
from proxy.outbound.destinations import destination_of

EPHEMERAL_BYTES = 32


class Tries:
    """What the tries of a call have in common, and what it may still be tried again for."""

    __slots__ = ("began", "epoch", "for_key", "for_time", "nonce", "now", "started")

    def __init__(self, started: float, at: int | None) -> None:
        """Begin at ``started`` (Unix seconds); sign for ``at``, or for then where it is None."""
        self.started = started
        self.began = time.monotonic()
        """The same by a clock that nobody sets."""
        self.nonce = secrets.token_bytes(NONCE_BYTES)
        self.now = int(started) if at is None else at
        """The time to sign with."""
        self.epoch: bytes | None = None
        """The epoch to sign under: once chosen, only the peer itself changes it."""
        self.for_key = True
        self.for_time = at is None


def sealer_for(call: Call, document: Document, now: float) -> RequestSealer:
    """Return what seals to the newest key that the peer's document offers; raises ``Refusal``."""
    newest = document.sealing_key(now)
    if newest is None:
        modes = " and ".join(sorted(document.modes)) or "no"
        detail = f"it accepts {modes} calls, and names no key that can be used now"
        raise Refusal(Code.NO_SEALING_KEY, f"{peer_name(call.contact)}: {detail}")
    largest = min(LARGEST_CHUNK, document.largest_chunk)
    ephemeral = secrets.token_bytes(EPHEMERAL_BYTES)
    return RequestSealer(newest.config, ephemeral=ephemeral, largest=largest)


def message_of(call: Call, key: PrivateKey, tries: Tries, sealer: RequestSealer) -> MessageSealer:
    """Return the call, signed for the one envelope that ``sealer`` makes; its body may be added."""
    own = [(b"portal-seal", b":" + base64.b64encode(sealer.enc) + b":")]
    if call.size is not None:
        own.append((b"content-length", b"%d" % call.size))
    to = call.recipient(tries.epoch)
    signed = sign_request(key, call.message(*own), to, nonce=tries.nonce, now=tries.now)
    message = signed.covered
    head = RequestHead(
        message.method,
        message.scheme.encode("ascii"),
        message.authority.encode("ascii"),
        message.target,
        signed.fields,
    )
    return MessageSealer(sealer, request_head(head))


def envelope_of(call: Call, message: bytes | None) -> UpstreamRequest:
    """Return the request that carries the envelope; its ``message``, unless that streams."""
    host = call.contact.origin.authority.encode("ascii")
    return UpstreamRequest(
        destination_of(call.contact),
        b"POST",
        GATEWAY,
        ((b"host", host), CHUNKED_REQUEST, INCREMENTAL, IN_CHUNKS),
        None if message is None else BytesBody(message),
        caller=ANYBODY,  # a response proves which call it is for
        streams=message is None,
    )
