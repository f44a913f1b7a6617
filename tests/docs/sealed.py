"""The sealed call of docs/protocol.md, made anew from fixed keys by the code that makes real ones.

Ada's guestbook writes the entry of the signed example, now sealed; Bob's response streams.
"""

import base64
from collections.abc import Iterable
from textwrap import wrap
from typing import cast

from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.varint import read_varint, varint
from proxy.core.binary_http.writer import END, content, padding, request_head, response_head
from proxy.core.http.headers import Fields, response_for_travel
from proxy.core.sealing.envelope import CHUNKED_REQUEST, GATEWAY, INCREMENTAL
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import MessageSealer
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.core.signature.base import Message
from proxy.core.signature.request import TAG, Recipient, sign_request
from proxy.http.downstream import Downstream
from proxy.inbound.response_envelope import ResponseEnvelope
from proxy.transfer.response import passing_fields
from tests.docs.page import (
    ADA,
    BOB,
    BODY,
    EPOCH,
    METHOD,
    ORIGIN,
    RESPONSE_BODY,
    SENT,
    TARGET,
    base,
    wire,
)

PRIVATE, EPHEMERAL, RESPONSE_NONCE = bytes([3]) * 32, bytes([4]) * 32, bytes([5]) * 16
KEY = SealingKey(PRIVATE)
CONFIG = KeyConfig(7, KEY.public, (Aead.AES_128_GCM, Aead.CHACHA20_POLY1305))
NONCE = bytes(range(32, 64))
APPS_RESPONSE: Fields = (
    (b"date", b"Tue, 14 Nov 2023 22:13:21 GMT"),
    (b"content-type", b"application/json"),
    (b"transfer-encoding", b"chunked"),
)
_LINE = 48
"""Bytes in a line of the page."""

_Parts = Iterable[tuple[str, bytes]]


def sealer() -> RequestSealer:
    """Return what Ada seals with."""
    return RequestSealer(CONFIG, ephemeral=EPHEMERAL)


def signed_request() -> Message:
    """Return the request in the envelope, with all of its fields."""
    fields = (
        (b"content-type", b"application/json"),
        (b"accept", b"application/json"),
        (b"accept", b"text/plain"),
        (b"portal-seal", b":" + base64.b64encode(sealer().enc) + b":"),
        (b"content-length", str(len(BODY)).encode()),
    )
    message = Message(fields, METHOD, ORIGIN.authority, TARGET, ORIGIN.scheme)
    to = Recipient(BOB.public.portal_id, "guestbook", EPOCH)
    return sign_request(ADA, message, to, nonce=NONCE, now=SENT).message


def _inner_request() -> bytes:
    signed = signed_request()
    authority, scheme = signed.authority.encode(), signed.scheme.encode()
    fields = tuple(signed.fields)
    return request_head(RequestHead(signed.method, scheme, authority, signed.target, fields))


def envelope() -> bytes:
    """Return the request's envelope."""
    message = MessageSealer(sealer(), _inner_request())
    message.add(BODY)
    return message.end()


class _Outer:
    """The outer response, as Bob's gateway sends it."""

    def __init__(self) -> None:
        self.fields: Fields = ()
        self.body = b""

    def send_head(self, _: int, fields: Fields) -> None:
        self.fields = fields

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        del ends
        self.body += piece

    is_blocked = False


def _response_head() -> ResponseHead:
    fields = response_for_travel(passing_fields(METHOD, 201, APPS_RESPONSE, streams=True))
    return ResponseHead(201, tuple(fields))


def _response() -> _Outer:
    """Return what Bob's gateway sends, as the app's response comes through it."""
    opener = RequestOpener({CONFIG.key_id: KEY}.get)
    opener.feed(envelope())
    outer, sealer = _Outer(), opener.response_sealer(RESPONSE_NONCE)
    sealed = ResponseEnvelope(cast(Downstream, outer), sealer, METHOD, _response_head())
    sealed.begin()
    sealed.send(RESPONSE_BODY, ends=False)
    sealed.send(b"", ends=True)
    return outer


def response_envelope() -> bytes:
    """Return the response's envelope."""
    return _response().body


def _block(parts: _Parts) -> str:
    """Return bytes as the page shows them: what they are, then they themselves in hexadecimal."""
    return "\n".join(
        line for what, data in parts for line in (f"# {what}", *wrap(data.hex(), 2 * _LINE))
    )


def bytes_of(block: str) -> bytes:
    """Return the bytes that a block of the page shows."""
    lines = (line for line in block.split("\n") if not line.startswith("#"))
    return bytes.fromhex("".join(lines))


def _strings(fields: Fields) -> _Parts:
    for name, value in fields:
        text = value.decode()
        yield (
            f"{name.decode()}: {text if len(text) <= _LINE else text[:_LINE] + '...'}",
            varint(len(name)) + name + varint(len(value)) + value,
        )
    yield "the end of the fields", b"\0"


def _padded(length: int) -> _Parts:
    yield "the end of the content, the end of the trailers", END
    zeros = padding(length + len(END))
    yield f"and {zeros} zero bytes that aren't shown: {length + len(END) + zeros} in all", b""


def _request_parts() -> _Parts:
    signed = signed_request()
    yield "a request of indeterminate length", b"\2"
    for what, string in (
        ("method", signed.method),
        ("scheme", signed.scheme.encode()),
        ("authority", signed.authority.encode()),
        ("path", signed.target),
    ):
        yield f"{what}: {string.decode()}", varint(len(string)) + string
    yield from _strings(signed.fields)
    yield f"content: {BODY.decode()}", content(BODY)
    yield from _padded(len(_inner_request() + content(BODY)))


def _response_parts() -> _Parts:
    head = _response_head()
    yield "a response of indeterminate length; its status, 201", b"\3" + varint(201)
    yield from _strings(head.fields)
    yield f"content: {RESPONSE_BODY.decode()}", content(RESPONSE_BODY)
    yield from _padded(len(response_head(head) + content(RESPONSE_BODY)))


def _chunks(data: bytes) -> _Parts:
    position = 0
    while True:
        length, start = read_varint(data, position)
        if not length:
            yield "0, then the final chunk, up to the end", data[position:]
            return
        yield f"a chunk of {length} bytes", data[position : start + length]
        position = start + length


def _envelope_parts() -> _Parts:
    data = envelope()
    yield "key ID, KEM, KDF, AEAD", data[:7]
    yield "enc", data[7:39]
    yield from _chunks(data[39:])


def _response_envelope_parts() -> _Parts:
    data = response_envelope()
    yield "the response nonce", data[: len(RESPONSE_NONCE)]
    yield from _chunks(data[len(RESPONSE_NONCE) :])


def _head(start: bytes, fields: Fields) -> str:
    return wire(start, fields).rstrip("\n")


def examples() -> dict[str, str]:
    """Return every block of the sealed example by its name."""
    host = (b"host", ORIGIN.authority.removeprefix("guestbook.").encode())
    chunked = (b"transfer-encoding", b"chunked")
    start = b"POST " + GATEWAY + b" HTTP/1.1"
    return {
        "sealing key": "\n".join(
            (
                f"private key    {PRIVATE.hex()}",
                f"public key     {KEY.public.hex()}",
                f"configuration  {CONFIG.serialise().hex()}",
                f'"config"       {base64.b64encode(CONFIG.serialise()).decode()}',
                f"ephemeral key  {EPHEMERAL.hex()}",
                f"response nonce {RESPONSE_NONCE.hex()}",
            )
        ),
        "sealed base": base(signed_request(), TAG),
        "sealed request": _block(_request_parts()),
        "envelope head": _head(start, (host, CHUNKED_REQUEST, INCREMENTAL, chunked)),
        "envelope": _block(_envelope_parts()),
        "sealed response": _block(_response_parts()),
        "response envelope head": _head(b"HTTP/1.1 200 OK", (*_response().fields, chunked)),
        "response envelope": _block(_response_envelope_parts()),
    }
