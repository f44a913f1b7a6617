"""The identity document is accepted in one exact form, and in no other."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from proxy.core.access.policy import MODES
from proxy.core.http.headers import Field
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import (
    BACKDATED,
    LIFETIME,
    MAX_BYTES,
    Document,
    document_body,
    sign_document,
    verify_document,
)
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.offer import OfferedKey
from proxy.core.signature.base import Component, Message, signature_base
from proxy.core.signature.digest import content_digest
from proxy.core.signature.response import Untrusted, sign_response
from tests.core.peering import ADAS, BOB, BOBS, EVE, NOW, Draft, ask

_SUITES = (Aead.AES_128_GCM, Aead.CHACHA20_POLY1305)
_OFFER = OfferedKey(KeyConfig(7, SealingKey(bytes([7]) * 32).public, _SUITES), NOW + 90_000)
_BODY = document_body(BOB, "B\xf6b", "p.example", ("sealed", "signed"), (_OFFER,), 65_536)


@dataclass(frozen=True)
class _Case:
    """A document as somebody serves it; every field of it may be wrong. ``components`` by name."""

    key: PrivateKey = BOB
    body: bytes = _BODY
    signed_body: bytes | None = None
    status: int = 200
    components: tuple[str, ...] = ("@status", "content-type", "content-digest", "portal-key")
    created: int | float | str = NOW
    expires: int | float | str = NOW + LIFETIME
    keyid: str | None = None
    tag: str = "portal-identity"
    more_parameters: str = ""
    more_fields: tuple[Field, ...] = ()
    unsigned_fields: tuple[Field, ...] = ()

    def message(self) -> Message:
        """Sign it: a signature that verifies, whatever it says."""
        body = self.body if self.signed_body is None else self.signed_body
        fields: tuple[Field, ...] = (
            (b"content-type", b"application/json"),
            content_digest(hashlib.sha256(body).digest()),
            (b"portal-key", b":" + base64.b64encode(self.key.public.raw) + b":"),
            *self.more_fields,
        )
        message = Message(fields=fields, status=self.status)
        listed = " ".join(f'"{name}"' for name in self.components)
        keyid = self.key.public.portal_id if self.keyid is None else self.keyid
        text = (
            f'({listed});created={self.created};expires={self.expires};keyid="{keyid}"'
            f';tag="{self.tag}"{self.more_parameters}'
        )
        base = signature_base([Component(name) for name in self.components], text, message)
        value = base64.b64encode(self.key.sign(base))
        signature: tuple[Field, ...] = (
            (b"signature-input", b"x=" + text.encode()),
            (b"signature", b"x=:" + value + b":"),
        )
        return replace(message, fields=(*fields, *self.unsigned_fields, *signature))


def _refused(case: _Case, *, expected: str = BOBS, now: float = NOW) -> str:
    with pytest.raises(Untrusted) as caught:
        verify_document(expected, case.message(), case.body, now=now)
    return str(caught.value)


def _ours() -> Message:
    digest = content_digest(hashlib.sha256(_BODY).digest())
    return Message(fields=sign_document(BOB, digest, now=NOW), status=200)


@pytest.mark.parametrize("message", [_ours(), _Case().message()], ids=["product's", "test's"])
@pytest.mark.parametrize("expected", [BOBS, BOBS[:6], BOBS[:50]])
def test_a_portal_believes_what_another_says_of_itself(message: Message, expected: str) -> None:
    document = verify_document(expected, message, _BODY, now=NOW + LIFETIME - BACKDATED - 1)
    modes = frozenset(MODES)
    about = Document(
        BOBS, BOB.public, "B\xf6b", "p.example", modes, document.expires, (_OFFER,), 65_536
    )
    assert document == about
    assert document.expires in {NOW + LIFETIME - BACKDATED, NOW + LIFETIME}


def test_a_document_holds_nothing_but_what_a_stranger_may_know() -> None:
    assert json.loads(_BODY) == {
        "id": BOBS,
        "name": "B\xf6b",
        "public_key_pem": BOB.public.pem,
        "domain": "p.example",
        "modes": ["sealed", "signed"],
        "sealing_keys": [
            {
                "config": base64.b64encode(_OFFER.config.serialise()).decode(),
                "until": NOW + 90_000,
            }
        ],
        "largest_chunk": 65_536,
    }


@pytest.mark.parametrize(
    ("case", "because"),
    [
        (_Case(key=EVE), "asked for"),
        (_Case(keyid=ADAS), "asked for"),
        (_Case(keyid=BOBS[:6]), "keyid must be"),
        (_Case(tag="portal-peering"), "0 signatures"),
        (_Case(tag="portal-peering-response"), "0 signatures"),
        (_Case(status=201), "status 201"),
        (_Case(status=404), "status 404"),
        (_Case(signed_body=b"{}"), "isn't the announced one"),
        (_Case(body=_BODY + b" ", signed_body=_BODY), "isn't the announced one"),
        (_Case(body=_BODY + b" " * MAX_BYTES), "bytes"),
        (_Case(expires=NOW + LIFETIME + 1), "created"),
        (_Case(created=NOW - 3600, expires=NOW), "expires"),
        (_Case(created=NOW - 7200, expires=NOW - 3600), "expires"),
        (_Case(created=NOW + 61, expires=NOW + 62), "created"),
        (_Case(expires=NOW - 1), "expires"),
        (_Case(created=f"{NOW}.0"), "created must be"),
        (_Case(expires=f'"{NOW + 60}"'), "expires must be"),
        (_Case(more_parameters=';nonce="x"'), "'nonce' isn't allowed"),
        (_Case(more_parameters=';alg="ed25519"'), "'alg' isn't allowed"),
        (_Case(more_parameters=f";expires={NOW + 9999}"), "twice"),
        (_Case(components=()), "covers something else"),
        (_Case(components=("content-type", "content-digest", "portal-key")), "something else"),
        (_Case(components=("@status", "content-digest", "portal-key")), "something else"),
        (_Case(components=("@status", "content-type", "portal-key")), "something else"),
        (_Case(components=("@status", "content-type", "content-digest")), "something else"),
        (_Case(components=(*_Case.components, "etag"), more_fields=((b"etag", b"x"),)), "else"),
        (_Case(unsigned_fields=((b"portal-key", b":AAAA:"),)), "more than once"),
        (_Case(unsigned_fields=((b"content-type", b"text/html"),)), "more than once"),
        (_Case(unsigned_fields=((b"content-digest", b"md5=:AAAA:"),)), "more than once"),
    ],
)
def test_nothing_else_is_a_document(case: _Case, because: str) -> None:
    assert because in _refused(case)


@pytest.mark.parametrize(
    "case",
    [
        _Case(created=NOW + 60, expires=NOW + 61),
        _Case(created=NOW - 3599, expires=NOW + 1),
        _Case(components=("portal-key", "content-digest", "content-type", "@status")),
        _Case(unsigned_fields=((b"etag", b"x"), (b"via", b"1.1 tunnel"))),
        _Case(body=_BODY + b" " * (MAX_BYTES - len(_BODY))),
    ],
)
def test_their_harmless_twins_are(case: _Case) -> None:
    assert verify_document(BOBS, case.message(), case.body, now=NOW).portal_id == BOBS


def test_a_document_is_good_until_it_expires_and_no_longer() -> None:
    message = _Case().message()
    assert verify_document(BOBS, message, _BODY, now=NOW + LIFETIME - 0.5)
    assert "expires" in _refused(_Case(), now=NOW + LIFETIME)


@pytest.mark.parametrize("off", [-1860, -1800, 0, 1799])
def test_our_own_document_is_good_for_readers_whose_clocks_are_half_an_hour_off(off: int) -> None:
    document = verify_document(BOBS, _ours(), _BODY, now=NOW + off)
    assert document.expires == NOW + 1800


@pytest.mark.parametrize("off", [-1861, 1800])
def test_and_for_none_further_off(off: int) -> None:
    with pytest.raises(Untrusted, match="created"):
        verify_document(BOBS, _ours(), _BODY, now=NOW + off)


def test_an_apps_json_that_its_portal_signed_as_a_response_is_no_document() -> None:
    admission = ask(Draft().sign())
    question = getattr(admission, "question", None)
    assert question is not None
    digest = content_digest(hashlib.sha256(_BODY).digest())
    response = Message(fields=((b"content-type", b"application/json"), digest), status=200)
    signed = sign_response(BOB, response, question, now=NOW).message
    with pytest.raises(Untrusted, match="0 signatures"):
        verify_document(BOBS, signed, _BODY, now=NOW)


def _with(**members: Any) -> _Case:
    return _Case(body=json.dumps({**json.loads(_BODY), **members}).encode())


@pytest.mark.parametrize(
    ("case", "because"),
    [
        (_with(id=ADAS), "its id isn't that of its key"),
        (_with(id=None), "its id isn't that of its key"),
        (_with(id=BOBS[:6]), "its id isn't that of its key"),
        (_with(name=1), "is missing"),
        (_with(domain=None), "is missing"),
        (_with(modes="signed"), "is missing"),
        (_Case(body=b"[]"), "its id"),
        (_Case(body=b"null"), "its id"),
        (_Case(body=b"{"), "identity document"),
        (_Case(body=b""), "identity document"),
        (_Case(body=b"\xff"), "identity document"),
        (_Case(body=_BODY.replace(b"{", b'{"id": "x", ', 1)), "identity document"),
        (_Case(body=b"[" * 60000), "identity document"),
    ],
)
def test_a_body_of_another_form_is_not_believed(case: _Case, because: str) -> None:
    assert because in _refused(case)


def test_what_a_stranger_calls_itself_is_cleaned() -> None:
    case = _with(name="B\u202eob\r\n" + "x" * 100, domain="p\x00.example")
    document = verify_document(BOBS, case.message(), case.body, now=NOW)
    assert document.name == "Bob" + "x" * 61
    assert document.domain == "p.example"


def test_modes_that_nobody_knows_are_skipped() -> None:
    case = _with(modes=["signed", "quantum", 5, None, {}, []])
    assert verify_document(BOBS, case.message(), case.body, now=NOW).modes == {"signed"}


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: [p for p in fields if p[0] != b"signature"],
        lambda fields: [p for p in fields if p[0] != b"portal-key"],
        lambda fields: [(n, b":AAAA:" if n == b"portal-key" else v) for n, v in fields],
        lambda fields: [(n, b":" + b"A" * 43 + b"=:" if n == b"portal-key" else v)
                        for n, v in fields],
        lambda fields: [(n, b"text/html" if n == b"content-type" else v) for n, v in fields],
        lambda fields: [(n, b"\xe4" if n == b"content-type" else v) for n, v in fields],
    ],
)  # fmt: skip
def test_a_document_that_was_changed_on_the_way_is_not_believed(
    change: Callable[[list[Field]], list[Field]],
) -> None:
    message = _Case().message()
    changed = replace(message, fields=tuple(change(list(message.fields))))
    assert changed.fields != message.fields
    with pytest.raises(Untrusted):
        verify_document(BOBS, changed, _BODY, now=NOW)


def _without(*names: str) -> _Case:
    members = {name: value for name, value in json.loads(_BODY).items() if name not in names}
    return _Case(body=json.dumps(members).encode())


def test_a_call_is_sealed_to_the_newest_key_whose_time_is_not_over() -> None:
    older = OfferedKey(replace(_OFFER.config, key_id=8), NOW + 60)
    document = replace(verify_document(BOBS, _ours(), _BODY, now=NOW), sealing_keys=(older, _OFFER))
    assert document.sealing_key(NOW) is _OFFER
    assert replace(document, sealing_keys=(_OFFER, older)).sealing_key(NOW) is _OFFER
    assert replace(document, sealing_keys=(older,)).sealing_key(NOW) is older
    assert replace(document, sealing_keys=(older,)).sealing_key(NOW + 60) is None
    assert replace(document, modes=frozenset({"signed"})).sealing_key(NOW) is None


def test_a_document_from_before_sealed_calls_offers_no_key() -> None:
    case = _without("sealing_keys", "largest_chunk")
    document = verify_document(BOBS, case.message(), case.body, now=NOW)
    assert document.sealing_keys == ()
    assert document.largest_chunk == 16_384


@pytest.mark.parametrize(
    ("members", "because"),
    [
        ({"sealing_keys": None}, "sealing_keys isn't a list"),
        ({"sealing_keys": [{"config": "AAAA", "until": NOW}, 5]}, "sealing_keys[1]: isn't"),
        ({"largest_chunk": True}, "largest_chunk isn't"),
    ],
)
def test_a_document_that_is_wrong_about_sealing_is_believed_in_nothing(
    members: dict[str, Any], because: str
) -> None:
    assert f"identity document: {because}" in _refused(_with(**members))
