"""Against somebody else's code: the PyPI library ``http-message-signatures``, both directions."""

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureComponentResolver,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

from proxy.core.errors import Code
from proxy.core.gate import Admission, Request
from proxy.core.http.headers import Field
from proxy.core.identity import PrivateKey, PublicKey
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.request import Recipient, sign_request
from proxy.core.signature.response import Question, Untrusted, sign_response, verify_response
from proxy.core.signature.writer import Signed
from tests.core.peering import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    DERIVED,
    HOST,
    NONCE,
    ORIGIN,
    ask,
    filled,
    key_field,
)

_TARGETS = ["/peer", "/peer?", "/peer/a%2Fb?b&c=%E4", "/peer//x;y?a=1&a=2"]
_SEEDS = {ADAS: bytes(32), BOBS: bytes(range(32))}


class _Headers:
    """Header fields as the library wants them, with several lines of one name."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.lines = fields

    def items(self) -> list[tuple[str, str]]:
        return self.lines

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.lines])

    def __contains__(self, name: str) -> bool:
        return any(other == name.lower() for other, _ in self.lines)

    def __setitem__(self, name: str, value: str) -> None:
        self.lines.append((name.lower(), value))

    def __delitem__(self, name: str) -> None:
        self.lines = [pair for pair in self.lines if pair[0] != name.lower()]

    def wire(self) -> tuple[Field, ...]:
        return tuple(
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in self.lines
        )


@dataclass
class _Asked:
    method: str
    request_target: str
    headers: _Headers

    @property
    def url(self) -> str:
        return f"{ORIGIN.of_app('guestbook')}{self.request_target}"


@dataclass
class _Response:
    status_code: int
    headers: _Headers
    request: _Asked
    url: str = ""


class _Resolver(HTTPSignatureComponentResolver):
    """Takes the request target from the wire, where ``/a`` and ``/a?`` differ."""

    def get_request_target(self) -> str:
        message = self.message.request if self.message_type == "response" else self.message
        return str(message.request_target)


class _Keys(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> bytes:
        return PrivateKey(_SEEDS[key_id]).public.pem.encode("ascii")

    def resolve_private_key(self, key_id: str) -> bytes:
        der = bytes.fromhex("302e020100300506032b657004220420") + _SEEDS[key_id]
        body = base64.b64encode(der).decode("ascii")
        return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n".encode("ascii")


def _signer() -> HTTPMessageSigner:
    return HTTPMessageSigner(
        signature_algorithm=algorithms.ED25519,
        key_resolver=_Keys(),
        component_resolver_class=_Resolver,
    )


def _verifier() -> HTTPMessageVerifier:
    return HTTPMessageVerifier(
        signature_algorithm=algorithms.ED25519,
        key_resolver=_Keys(),
        component_resolver_class=_Resolver,
    )


def _digest(body: bytes) -> Field:
    return content_digest(hashlib.sha256(body).digest())


_FIELDS: tuple[Field, ...] = (
    (b"content-type", b"text/plain"),
    (b"x-lines", b"one"),
    (b"x-lines", b"two, three"),
    (b"x-8bit", b"\xe4\xff"),
    (b"x-empty", b""),
)


def _ours(target: str, now: int) -> Signed:
    message = Message(
        fields=(*_FIELDS, _digest(b"Hello")),
        method=b"POST",
        authority=HOST,
        target=target.encode(),
    )
    to = Recipient(BOBS, "guestbook")
    return sign_request(ADA, message, to, nonce=bytes(range(32)), now=now)


def _asked(signed: Signed) -> _Asked:
    message = signed.message
    lines = [(name.decode(), value.decode("latin-1")) for name, value in message.fields]
    return _Asked(message.method.decode(), message.target.decode(), _Headers(lines))


@pytest.mark.parametrize("target", _TARGETS)
def test_the_library_verifies_a_request_that_we_sign(target: str) -> None:
    asked = _asked(_ours(target, int(time.time())))
    required = [f'"{name}"' for name in (*DERIVED, "portal-key", "portal-to", "content-digest")]
    required += ['"x-lines";bs', '"x-8bit";bs', '"x-empty"', '"content-type"']
    [result] = _verifier().verify(
        asked, expect_tag="portal-peering", require_components=required, body=b"Hello"
    )
    assert result.parameters["keyid"] == ADAS
    assert result.nonce == NONCE


@pytest.mark.parametrize("target", _TARGETS)
def test_the_library_refuses_our_request_once_it_is_changed(target: str) -> None:
    asked = _asked(_ours(target, int(time.time())))
    asked.request_target += "&admin=1"
    with pytest.raises(InvalidSignature):
        _verifier().verify(asked, expect_tag="portal-peering")


@pytest.mark.parametrize("target", _TARGETS)
def test_a_request_that_the_library_signs_is_admitted(target: str) -> None:
    now = int(time.time())
    name, digest = (each.decode() for each in _digest(b"Hello"))
    lines = [(n.decode(), v.decode("latin-1")) for n, v in _FIELDS]
    lines += [
        (name, digest),
        ("portal-key", key_field(ADA)),
        ("portal-to", filled('"{bob}";app="guestbook";epoch={epoch}')),
    ]
    asked = _Asked("POST", target, _Headers(lines))
    _signer().sign(
        asked,
        key_id=ADAS,
        created=datetime.fromtimestamp(now, UTC),
        expires=datetime.fromtimestamp(now + 60, UTC),
        nonce=NONCE,
        tag="portal-peering",
        include_alg=False,
        use_existing_digest=True,
        covered_component_ids=[
            *DERIVED,
            *("portal-key", "portal-to", "content-digest", "content-type", "x-empty"),
            *('"x-lines";bs', '"x-8bit";bs'),
        ],
    )
    fields = ((b"host", HOST.encode()), *asked.headers.wire())
    admission = ask(Request(b"POST", target.encode(), fields), now=now)
    assert isinstance(admission, Admission)
    assert admission.caller.id == ADAS
    assert admission.fields == _FIELDS
    changed = Request(b"POST", target.encode() + b"&admin=1", fields)
    assert ask(changed, now=now) is Code.SIGNATURE_INVALID


def _question(signed: Signed) -> Question:
    return Question(signed.message, signed.components, NONCE)


_RESPONSE_FIELDS: tuple[Field, ...] = (
    (b"content-type", b"text/html"),
    (b"set-cookie", b"a=1"),
    (b"set-cookie", b"b=2"),
)


def test_the_library_verifies_a_response_that_we_sign() -> None:
    now = int(time.time())
    request = _ours(_TARGETS[2], now)
    response = Message(fields=(*_RESPONSE_FIELDS, _digest(b"Hi")), status=201)
    signed = sign_response(BOB, response, _question(request), now=now)
    lines = [(n.decode(), v.decode("latin-1")) for n, v in signed.message.fields]
    received = _Response(201, _Headers(lines), _asked(request))
    [result] = _verifier().verify(
        received,
        expect_tag="portal-peering-response",
        require_components=['"@status"', '"set-cookie";bs', '"@request-target";req'],
        body=b"Hi",
    )
    assert result.parameters["keyid"] == BOBS
    received.status_code = 200
    with pytest.raises(InvalidSignature):
        _verifier().verify(received, expect_tag="portal-peering-response")


def test_a_response_that_the_library_signs_is_believed() -> None:
    now = int(time.time())
    request = _ours(_TARGETS[2], now)
    name, digest = (each.decode() for each in _digest(b"Hi"))
    lines = [(n.decode(), v.decode("latin-1")) for n, v in _RESPONSE_FIELDS]
    lines += [(name, digest), ("portal-key", key_field(BOB))]
    received = _Response(201, _Headers(lines), _asked(request))
    asked = [component.of_request().identifier for component in request.components]
    own = ['"@status"', '"content-digest"', '"portal-key"', '"content-type"', '"set-cookie";bs']
    _signer().sign(
        received,
        key_id=BOBS,
        created=datetime.fromtimestamp(now, UTC),
        nonce=NONCE,
        tag="portal-peering-response",
        include_alg=False,
        use_existing_digest=True,
        covered_component_ids=[*own, *asked],
    )
    response = Message(fields=received.headers.wire(), status=201)
    verified = verify_response(BOBS, response, _question(request))
    assert verified.fields[:3] == _RESPONSE_FIELDS
    with pytest.raises(Untrusted):
        verify_response(BOBS, Message(fields=response.fields, status=200), _question(request))


def test_both_read_the_same_key() -> None:
    assert PublicKey(ADA.public.raw).pem.encode("ascii") == _Keys().resolve_public_key(ADAS)
