"""Our own signatures are read quickly, and as the parsing of any signature would read them."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core import identity_document as document
from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, Fields, Indexed, values_of
from proxy.core.signature import base, own_form, request, response
from proxy.core.signature.base import Component, Covered, Message, NotSignable, signature_base
from proxy.core.signature.digest import announced_digests, content_digest, digests_by_parsing
from proxy.core.signature.own_form import MOST_COMPONENTS, read_own_form
from proxy.core.signature.parameters import encode_nonce, find_by_parsing, find_signature
from proxy.core.signature.request import RequestSignature, refuse_bad_coverage
from proxy.core.signature.response import Question
from tests.core.peering import ADA, BOB, BOBS, NOW

_DIGEST = content_digest(hashlib.sha256(b"").digest())
_TAGS = (request.TAG, response.TAG, document.TAG)
_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,11}", fullmatch=True).map(lambda name: name.encode())
_VALUES = st.binary(max_size=12).map(
    lambda value: bytes(b for b in value if 32 <= b != 127).strip()
)
_APPS_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=6)


def _asked(fields: Fields) -> tuple[Fields, Question]:
    message = Message((*fields, _DIGEST), b"GET", "guestbook.bob.example", b"/a?b", "https")
    recipient = request.Recipient(BOBS, "guestbook")
    signed = request.sign_request(ADA, message, recipient, nonce=bytes(32), now=NOW)
    question = Question(signed.message, signed.components, encode_nonce(bytes(32)))
    return signed.message.fields, question


def _response_of(fields: Fields) -> Fields:
    message = Message((*fields, _DIGEST), status=200)
    return response.sign_response(BOB, message, _asked(fields)[1], now=NOW).message.fields


_SIGNED: tuple[Callable[[Fields], Fields], ...] = (
    lambda fields: _asked(fields)[0],
    _response_of,
    lambda _fields: document.sign_document(ADA, _DIGEST, now=NOW),
)


@pytest.mark.parametrize("kind", range(3), ids=_TAGS)
@given(_APPS_FIELDS)
def test_what_our_signer_writes_is_read_quickly(kind: int, fields: list[Field]) -> None:
    signed = _SIGNED[kind](fields)
    quick = read_own_form(signed, _TAGS[kind])
    assert quick is not None
    assert quick == find_by_parsing(signed, _TAGS[kind])


_BITS = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b",",
            b";",
            b'"',
            b"\\",
            b"=",
            b":",
            b"(",
            b")",
            b"()",
            b"0",
            b"00",
            b"-",
            b".",
        ),
        *(
            b"1",
            b"9" * 16,
            b"A",
            b"/",
            b"_",
            b"\t",
            b"\xff",
            b"?1",
            b"?0",
            b";bs",
            b";req",
            b";req;bs",
        ),
        *(b";bs=?0", b";bs;bs", b' "x"', b'"@path"', b'"portal-key"', b";alg", b';alg="x"', b"x=1"),
        *(b"portal", b"portal=", b", b=:AA==:", b";tag=t", b";created=1", b";expires=1.0", b"  "),
    ]
)
_EDITS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2000), st.integers(0, 40), _BITS), max_size=3
)


def _edited(fields: Fields, edits: list[tuple[int, int, int, bytes]]) -> list[Field]:
    """Return ``fields`` with some bytes of the signature's two fields replaced by others."""
    by_name = dict(fields)
    names = (b"signature-input", b"signature")
    for which, at, length, put in edits:
        value = by_name[names[which]]
        start = at % (len(value) + 1)
        by_name[names[which]] = value[:start] + put + value[start + length :]
    return list(by_name.items())


def _outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except Refusal as refusal:
        return refusal.code, refusal.detail
    except NotSignable as error:
        return str(error)


@given(st.integers(0, 2), _EDITS, st.sampled_from(_TAGS))
def test_whatever_comes_is_read_alike(
    kind: int, edits: list[tuple[int, int, int, bytes]], tag: str
) -> None:
    fields = _edited(_SIGNED[kind](()), edits)
    assert _outcome(lambda: find_signature(fields, tag)) == _outcome(
        lambda: find_by_parsing(fields, tag)
    )


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_nothing_is_read_out_of_noise(first: bytes, second: bytes) -> None:
    fields = [(b"signature-input", first), (b"signature", second)]
    assert read_own_form(fields, request.TAG) is None


@pytest.mark.parametrize(
    "form",
    [
        b'p=("@path");created=01;keyid="k";tag="portal-peering"',
        b'p=("@path");created=1000000000000000;keyid="k";tag="portal-peering"',
        b'p=("@path");created=-1;keyid="k";tag="portal-peering"',
        b'p=( "@path");created=1;keyid="k";tag="portal-peering"',
        b'p=("@path"  "x");created=1;keyid="k";tag="portal-peering"',
        b'p=("@path" "@path");created=1;keyid="k";tag="portal-peering"',
        b'p=("a\\"b");created=1;keyid="k";tag="portal-peering"',
        b'p=("x";req;bs);created=1;keyid="k";tag="portal-peering"',
        b'p=("x");created=1;keyid="k";tag="portal-peering", q=1',
        b'p=("x");created=1;keyid="k";tag="other"',
        b'q=("x");created=1;keyid="k";tag="portal-peering"',
        b'p=("x");created=1;keyid="k";tag="portal-peering";tag="portal-peering"',
        b"p=("
        + b" ".join(b'"f%d"' % n for n in range(49))
        + b');created=1;keyid="k";tag="portal-peering"',
    ],
)
def test_another_form_is_left_to_the_parser(form: bytes) -> None:
    value = b"p=:" + b"A" * 86 + b"==:"
    assert read_own_form([(b"signature-input", form), (b"signature", value)], request.TAG) is None
    twin = b'p=("x");created=1;keyid="k";tag="portal-peering"'
    assert read_own_form([(b"signature-input", twin), (b"signature", value)], request.TAG)


@pytest.mark.parametrize("value", [b"A" * 85 + b"B==", b"A" * 84 + b"====", b"A" * 88, b"A" * 84])
def test_only_sixty_four_bytes_in_canonical_base64_are_a_signature(value: bytes) -> None:
    listed = (b"signature-input", b'p=("x");created=1;keyid="k";tag="portal-peering"')
    assert read_own_form([listed, (b"signature", b"p=:" + value + b":")], request.TAG) is None


def test_what_is_remembered_is_bounded() -> None:
    kept = own_form._read_anew.cache_info().maxsize
    assert kept is not None
    assert kept * MOST_COMPONENTS < 10_000


_ODD = st.sampled_from([b"", b"x", b" x ", b"\xe9", b"a\nb", b"a\rb", b"\t"])
_MESSAGES = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"date", b"portal-to", b"te"]), _ODD), max_size=5
)
_COMPONENTS = st.lists(
    st.builds(
        Component,
        st.sampled_from(
            [
                "a",
                "b",
                "date",
                "portal-to",
                "te",
                "A",
                "@method",
                "@status",
                "@path",
                "@authority",
                "@x",
            ]
        ),
        st.sampled_from(
            [(), (("bs", True),), (("req", True),), (("bs", True), ("req", True)), (("x", 1),)]
        ),
    ),
    max_size=5,
)


@given(_COMPONENTS, _MESSAGES, _MESSAGES | st.none(), st.sampled_from([None, 200]))
@example([Component("a")], [(b"a", b" x "), (b"a", b" y ")], None, None)
@example([Component("a")], [(b"a", b""), (b"a", b"")], None, None)
def test_a_base_is_the_same_however_it_is_built(
    components: list[Component],
    fields: list[Field],
    others: list[Field] | None,
    status: int | None,
) -> None:
    message = Message(tuple(fields), b"GET", "b.example", b"/a?b", status=status)
    asked = None if others is None else Message(tuple(others), b"PUT", "c.example", b"/c")
    covered = Covered(components)
    assert _outcome(lambda: signature_base(covered, "()", message, asked)) == _outcome(
        lambda: _base_line_by_line(covered, message, asked)
    )


def _base_line_by_line(covered: Covered, message: Message, asked: Message | None) -> bytes:
    return base._any_base(covered, "()", message, asked)


_REQUIRED = list(request._SIGNED)


@given(
    st.lists(st.sampled_from([*_REQUIRED, *request._SEALED]), unique=True, min_size=6),
    _COMPONENTS,
    _MESSAGES,
    st.sampled_from(["signed", "sealed"]),
)
def test_coverage_is_judged_alike(
    required: list[Component], more: list[Component], fields: list[Field], mode: str
) -> None:
    is_sealed = mode == "sealed"
    covered = Covered(dict.fromkeys([*required, *more]))
    names = [c.field_name for c in required if not c.name.startswith("@")]
    sent = [*((name, b"x") for name in names), *fields]
    signature = own_form.Signature(covered, {}, "", b"")
    read = RequestSignature(signature, "", "", 0, 0)
    assert _outcome(lambda: refuse_bad_coverage(read, sent, is_sealed=is_sealed)) == _outcome(
        lambda: request._look_closely(read, sent, is_sealed=is_sealed)
    )


@given(_COMPONENTS, _COMPONENTS, _MESSAGES)
def test_a_responses_coverage_is_checked_alike(
    asked: list[Component], more: list[Component], fields: list[Field]
) -> None:
    question = Question(Message(()), Covered(dict.fromkeys(asked)), "")
    covered = Covered(
        dict.fromkeys([*Covered(asked).for_response, Component("content-digest"), *more])
    )
    sent = [_DIGEST, *fields]
    assert _trusted(lambda: response._require_coverage(covered, sent, question)) == _trusted(
        lambda: response._look_closely(covered, sent, question)
    )


def _trusted(check: Callable[[], None]) -> bool:
    try:
        check()
    except response.Untrusted:
        return False
    return True


@given(
    st.lists(
        st.sampled_from(
            [
                _DIGEST[1],
                b"sha-256=:" + b"A" * 42 + b"B=:",
                b"sha-256=:" + b"A" * 44 + b":",
                _DIGEST[1] + b";x",
                _DIGEST[1] + b", sha-512=:AAAA:",
                b"",
                b"sha-256=1",
            ]
        ),
        max_size=2,
    )
)
def test_a_digest_is_read_alike(lines: list[bytes]) -> None:
    fields = [(b"content-digest", line) for line in lines]
    assert _outcome(lambda: announced_digests(fields)) == _outcome(
        lambda: digests_by_parsing(fields)
    )


@given(_MESSAGES)
def test_indexed_fields_are_the_same_fields(fields: list[Field]) -> None:
    indexed = Indexed(fields)
    assert indexed == tuple(fields)
    for name in (b"a", b"b", b"none"):
        assert values_of(indexed, name) == values_of(fields, name)
