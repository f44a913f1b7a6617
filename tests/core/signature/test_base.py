"""The signature base against RFC 9421's own examples (Appendix B.2), byte for byte."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import http_sf
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import Access, Contact, ContactList
from proxy.core.access.rules import Rule, Rules
from proxy.core.errors import Code, Refusal
from proxy.core.gate import AccessContext, Request, admit
from proxy.core.http.headers import Field
from proxy.core.http.origin import parse_origin
from proxy.core.identity import PublicKey
from proxy.core.signature.base import Component, Message, NotSignable, signature_base
from tests.core.peering import ADA, ADAS, BOBS, NONCE, NOW, Claims

_RFC = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9421.json").read_text("utf-8"))
_CASES = [pytest.param(case, id=case["title"]) for case in _RFC["cases"]]


def _message(text: str) -> Message:
    """Read a message; its digest is computed from its body.

    The response in the file has another one, which fits neither its body nor the RFC's base.
    """
    head, _, body = text.partition("\n\n")
    first, *lines = head.splitlines()
    named = dict(line.split(": ", 1) for line in lines)
    digest = hashlib.sha512(body.rstrip("\n").encode()).digest()
    named["Content-Digest"] = f"sha-512=:{base64.b64encode(digest).decode()}:"
    fields = tuple((name.lower().encode(), value.encode()) for name, value in named.items())
    if first.startswith("HTTP/"):
        return Message(fields=fields, status=int(first.split()[1]))
    method, target, _ = first.encode().split(b" ")
    return Message(fields=fields, method=method, authority="Example.com:443", target=target)


def _components(signature_input: str) -> tuple[tuple[Component, ...], str]:
    label, _, text = signature_input.partition("=")
    assert label.startswith("sig-b2")
    parsed: Any = http_sf.parse(text.encode(), tltype="list")
    [(items, _)] = parsed
    return tuple(Component(name, tuple(p.items())) for name, p in items), text


def test_the_rfc_has_six_examples() -> None:
    assert len(_CASES) == 6


@pytest.mark.parametrize("case", _CASES)
def test_every_base_is_the_rfcs_byte_for_byte(case: dict[str, str]) -> None:
    components, text = _components(case["signature_input"])
    base = signature_base(components, text, _message(_RFC[case["message"]]))
    assert base == case["signature_base"].encode("ascii")


def test_ours_verifies_the_rfcs_ed25519_example() -> None:
    case = next(case for case in _RFC["cases"] if "ed25519" in case["title"])
    components, text = _components(case["signature_input"])
    base = signature_base(components, text, _message(_RFC["request"]))
    value = base64.b64decode(case["signature"].split(":")[1])
    loaded: Any = load_pem_public_key(_RFC["keys"]["test-key-ed25519"]["public_key_pem"].encode())
    key = PublicKey(loaded.public_bytes_raw())
    assert key.pem == _RFC["keys"]["test-key-ed25519"]["public_key_pem"]
    assert key.verifies(value, base)
    assert not key.verifies(value, base + b"\n")


def test_the_digest_that_the_response_was_signed_with_is_its_bodys() -> None:
    case = next(case for case in _RFC["cases"] if case["message"] == "response")
    pem = _RFC["keys"]["test-key-ecc-p256"]["public_key_pem"].encode()
    key: Any = load_pem_public_key(pem)
    value = base64.b64decode(case["signature"].split(":")[1])
    halves = (int.from_bytes(half, "big") for half in (value[:32], value[32:]))
    components, text = _components(case["signature_input"])
    base = signature_base(components, text, _message(_RFC["response"]))
    key.verify(encode_dss_signature(*halves), base, ec.ECDSA(hashes.SHA256()))  # or raises


# --- as peer requests they are worth nothing -----------------------------------------------

_SITE = AccessContext(
    BOBS,
    Hosts(parse_origin("https://com")),
    {"example": RuleMatcher(Rules((Rule(b"", Access.PEER),)))},
    ContactList((Contact(ADAS, "Ada", "https://ada.example"),), {"example": "all"}),
)


def _as_request(case: dict[str, str], *more: Field) -> Request:
    message = _message(_RFC[case["message"]])
    fields = tuple(pair for pair in message.fields if pair[0] != b"host")
    host = (b"host", b"example.com")
    target = message.target or b"/foo?param=Value&Pet=dog"
    return Request(message.method or b"POST", target, (host, *fields, *more))


def _refusal(request: Request) -> Refusal:
    with pytest.raises(Refusal) as caught:
        admit(request, _SITE, NOW, Claims())
    return caught.value


@pytest.mark.parametrize("case", _CASES)
def test_as_it_stands_an_example_is_no_proof(case: dict[str, str]) -> None:
    fields = (b"signature-input", case["signature_input"].encode())
    request = _as_request(case, fields, (b"signature", case["signature"].encode()))
    assert _refusal(request).code is Code.PROOF_REQUIRED


@pytest.mark.parametrize("case", _CASES)
def test_an_example_with_our_tag_is_refused(case: dict[str, str]) -> None:
    text = case["signature_input"].replace(';tag="header-example"', "") + ';tag="portal-peering"'
    value = case["signature"].encode()
    request = _as_request(case, (b"signature-input", text.encode()), (b"signature", value))
    assert _refusal(request).code is Code.SIGNATURE_MALFORMED


@pytest.mark.parametrize("case", _CASES)
def test_what_an_example_covers_is_not_enough_even_from_a_peer(case: dict[str, str]) -> None:
    """All else is right: our parameters, a contact's key, and a signature that verifies."""
    components, _ = _components(case["signature_input"])
    kept = tuple(c for c in components if c.name != "@query-param")
    text = (
        f"({' '.join(c.identifier for c in kept)});created={NOW};expires={NOW + 60}"
        f';nonce="{NONCE}";keyid="{ADAS}";tag="portal-peering"'
    )
    message = _message(_RFC[case["message"]])
    value = base64.b64encode(ADA.sign(signature_base(kept, text, message)))
    key = b":" + base64.b64encode(ADA.public.raw) + b":"
    refusal = _refusal(
        _as_request(
            case,
            (b"portal-key", key),
            (b"portal-to", f'"{BOBS}";app="example"'.encode()),
            (b"signature-input", b"sig=" + text.encode()),
            (b"signature", b"sig=:" + value + b":"),
        )
    )
    assert refusal.code is Code.SIGNATURE_COVERAGE
    assert refusal.detail.startswith("doesn't cover")


# --- the rest of what the base defines -----------------------------------------------------

_REQUEST = Message(
    fields=((b"x-a", b" one\t"), (b"x-b", b"1"), (b"x-b", b"\xe4 "), (b"x-e", b"")),
    method=b"GET",
    authority="Example.com:8443",
    target=b"/a%2Fb?x=1&y=%7e%2A+%20&z&x=2",
)
_RESPONSE = Message(fields=((b"x-a", b"two"),), status=204)


def _line(component: Component, message: Message = _REQUEST, request: Message | None = None) -> str:
    return signature_base((component,), "()", message, request).split(b"\n")[0].decode("ascii")


@pytest.mark.parametrize(
    ("component", "line"),
    [
        (Component("x-a"), '"x-a": one'),
        (Component("x-e"), '"x-e": '),
        (Component("x-b", (("bs", True),)), '"x-b";bs: :MQ==:, :5A==:'),
        (Component("x-e", (("bs", True),)), '"x-e";bs: ::'),
        (Component("@method"), '"@method": GET'),
        (Component("@authority"), '"@authority": example.com:8443'),
        (Component("@scheme"), '"@scheme": https'),
        (Component("@path"), '"@path": /a%2Fb'),
        (Component("@query"), '"@query": ?x=1&y=%7e%2A+%20&z&x=2'),
        (Component("@request-target"), '"@request-target": /a%2Fb?x=1&y=%7e%2A+%20&z&x=2'),
        (
            Component("@target-uri"),
            '"@target-uri": https://example.com:8443/a%2Fb?x=1&y=%7e%2A+%20&z&x=2',
        ),
        (Component("@query-param", (("name", "y"),)), '"@query-param";name="y": %7E*%20%20'),
        (Component("@query-param", (("name", "z"),)), '"@query-param";name="z": '),
    ],
)
def test_a_component_has_the_value_that_the_rfc_defines(component: Component, line: str) -> None:
    assert _line(component) == line
    asked = component.of_request()
    expected = line.replace(": ", ";req: ", 1)
    assert _line(asked, _RESPONSE, _REQUEST) == expected


@pytest.mark.parametrize(
    ("authority", "scheme", "expected"),
    [
        ("example.com:443", "https", "example.com"),
        ("example.com:80", "https", "example.com:80"),
        ("example.com:80", "http", "example.com"),
        ("[::80]", "http", "[::80]"),
    ],
)
def test_the_default_port_is_no_part_of_the_authority(
    authority: str, scheme: str, expected: str
) -> None:
    message = replace(_REQUEST, authority=authority, scheme=scheme)
    assert _line(Component("@authority"), message) == f'"@authority": {expected}'


def test_no_query_and_an_empty_one_differ_in_the_request_target_alone() -> None:
    without, empty = replace(_REQUEST, target=b"/a"), replace(_REQUEST, target=b"/a?")
    for name in ("@path", "@query"):
        assert _line(Component(name), without) == _line(Component(name), empty)
    assert _line(Component("@request-target"), without) == '"@request-target": /a'
    assert _line(Component("@request-target"), empty) == '"@request-target": /a?'


@pytest.mark.parametrize(
    ("component", "message", "request_"),
    [
        (Component("x-absent"), _REQUEST, None),
        (Component("X-A"), _REQUEST, None),
        (Component("x-b"), _REQUEST, None),
        (Component("x-a", (("sf", True),)), _REQUEST, None),
        (Component("x-a", (("tr", True),)), _REQUEST, None),
        (Component("x-a", (("key", "a"),)), _REQUEST, None),
        (Component("x-a", (("name", "a"),)), _REQUEST, None),
        (Component("x-a", (("bs", False),)), _REQUEST, None),
        (Component("x-a", (("req", True),)), _RESPONSE, None),
        (Component("x-a", (("req", "x"),)), _RESPONSE, _REQUEST),
        (Component("@method", (("bs", True),)), _REQUEST, None),
        (Component("@method"), _RESPONSE, _REQUEST),
        (Component("@status"), _REQUEST, None),
        (Component("@status", (("req", True),)), _RESPONSE, _REQUEST),
        (Component("@nothing"), _REQUEST, None),
        (Component("@signature-params"), _REQUEST, None),
        (Component("@query-param"), _REQUEST, None),
        (Component("@query-param", (("name", "absent"),)), _REQUEST, None),
        (Component("@query-param", (("name", "x"),)), _REQUEST, None),
        (Component("@query-param", (("bs", True), ("name", "z"))), _REQUEST, None),
    ],
)
def test_what_has_no_value_cannot_be_signed(
    component: Component, message: Message, request_: Message | None
) -> None:
    with pytest.raises(NotSignable):
        signature_base((component,), "()", message, request_)


@pytest.mark.parametrize("value", [b"a\r\n b", b"a\nb", b"a\rb"])
def test_a_folded_line_cannot_be_signed(value: bytes) -> None:
    with pytest.raises(NotSignable):
        signature_base((Component("x"),), "()", Message(fields=((b"x", value),)))


def test_a_component_stands_once_whatever_the_order_of_its_parameters() -> None:
    one = Component("x-b", (("bs", True), ("req", True)))
    two = Component("x-b", (("req", True), ("bs", True)))
    assert one == two
    assert one.identifier != two.identifier
    with pytest.raises(NotSignable, match="twice"):
        signature_base((one, two), "()", _RESPONSE, _REQUEST)


def test_a_long_run_of_blanks_costs_no_more_than_its_length() -> None:
    value = b"a" + b" " * 1_000_000 + b"b"
    base = signature_base((Component("x"),), "()", Message(fields=((b"x", value),)))
    assert len(base) == len(value) + len('"x": \n"@signature-params": ()')
