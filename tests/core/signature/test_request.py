"""Signing and verifying a request belong together; whatever is covered can't be changed."""

import hashlib

import http_sf
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request, admit
from proxy.core.http.headers import FRAMING, HOP_BY_HOP, INTERMEDIARY, Field, is_ours, spelling
from proxy.core.signature.base import Component, Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.parameters import find_signature
from proxy.core.signature.request import (
    MAX_PROOF,
    TAG,
    Recipient,
    RequestSignature,
    is_meant_as_ours,
    read_recipient,
    refuse_forged,
    refuse_other_recipient,
    sign_request,
)
from proxy.core.signature.writer import Signed
from tests.core.peering import ADA, ADAS, BOBS, CLEOS, CONTEXT, EPOCH, HOST, NOW, Claims, Draft, ask

_TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"


def _is_an_apps(name: bytes) -> bool:
    """Tell whether an app's field of that name is carried as it is."""
    taken = HOP_BY_HOP | FRAMING | {b"signature", b"signature-input", b"content-digest"}
    spelled = spelling(name)
    return not (
        name in taken
        or is_ours(name)
        or spelled in INTERMEDIARY
        or spelled.startswith(b"x-ptl-")
        or spelled == b"x-user"
    )


_NAMES = (
    st.text(_TOKEN, min_size=1, max_size=12).map(str.encode)
    | st.sampled_from([b"cookie", b"x-a", b"x-a", b"accept", b"range"])
).filter(_is_an_apps)
_VALUES = st.binary(max_size=24).map(
    lambda raw: bytes(b for b in raw if b == 9 or (b >= 32 and b != 127)).strip(b" \t")
)
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=8)
_METHODS = st.sampled_from([b"GET", b"POST", b"PROPFIND", b"M-SEARCH", b"get"])
_SUFFIXES = st.sampled_from(
    [b"", b"?", b"/", b"/a%2Fb?b&c=%E4", b"/x;y?a=%zz&b=/../", b"//z?", b"/a.b/..c"]
)


def _signed(method: bytes, target: bytes, fields: list[Field], body: bytes = b"") -> Signed:
    digest = content_digest(hashlib.sha256(body).digest())
    message = Message(fields=(*fields, digest), method=method, authority=HOST, target=target)
    to = Recipient(BOBS, "guestbook", EPOCH)
    return sign_request(ADA, message, to, nonce=bytes(range(32)), now=NOW)


def _sent(signed: Signed) -> Request:
    message = signed.message
    return Request(message.method, message.target, ((b"host", HOST.encode()), *message.fields))


@given(method=_METHODS, suffix=_SUFFIXES, fields=_FIELDS, body=st.binary(max_size=8))
@example(b"GET", b"?", [(b"x-a", b""), (b"x-a", b""), (b"*", b"\xff")], b"")
def test_what_is_signed_is_admitted_byte_for_byte(
    method: bytes, suffix: bytes, fields: list[Field], body: bytes
) -> None:
    signed = _signed(method, b"/peer" + suffix, fields, body)
    admission = ask(_sent(signed))
    assert isinstance(admission, Admission)
    assert admission.fields == tuple(fields)
    assert admission.target.raw == b"/peer" + suffix
    assert admission.digests == {"sha-256": hashlib.sha256(body).digest()}
    assert admission.question is not None
    assert admission.question.components == signed.components


def test_we_sign_exactly_what_another_implementation_of_the_profile_signs() -> None:
    draft = Draft(fields=[("x-a", "1"), ("x-b", "\xe4"), ("x-a", "2")])
    fields = [(b"x-a", b"1"), (b"x-b", b"\xe4"), (b"x-a", b"2")]
    ours = _signed(b"POST", draft.target.encode(), fields, b"Hello")
    assert {component.identifier for component in ours.components} == set(draft.identifiers())
    theirs = draft.sign()
    both = (ask(_sent(ours)), ask(theirs))
    assert isinstance(both[0], Admission)
    assert isinstance(both[1], Admission)
    assert both[0].fields == both[1].fields


def test_the_field_that_names_the_recipient() -> None:
    assert Recipient(BOBS, "a-b").field() == (b"portal-to", f'"{BOBS}";app="a-b"'.encode())
    assert Recipient(BOBS, None).field() == (b"portal-to", f'"{BOBS}"'.encode())
    under = f'"{BOBS}";app="a-b";epoch=:gIGCg4SFhoeIiYqLjI2Ojw==:'
    assert Recipient(BOBS, "a-b", EPOCH).field() == (b"portal-to", under.encode())


@given(
    fields=_FIELDS,
    suffix=_SUFFIXES,
    where=st.integers(min_value=0),
    bit=st.integers(min_value=0, max_value=7),
)
def test_a_bit_that_is_flipped_anywhere_is_refused(
    fields: list[Field], suffix: bytes, where: int, bit: int
) -> None:
    """In the method, the target, or a name or value of any field but Host."""
    request = _sent(_signed(b"POST", b"/peer" + suffix, fields))
    parts = [request.method, request.target, *(part for pair in request.fields for part in pair)]
    place = where % sum(map(len, parts))
    index = 0
    while place >= len(parts[index]):
        place -= len(parts[index])
        index += 1
    assume(index not in (2, 3))  # Host isn't covered: our own authority is
    raw = bytearray(parts[index])
    raw[place] ^= 1 << bit
    parts[index] = bytes(raw)
    pairs = tuple(zip(parts[2::2], parts[3::2], strict=True))
    assert isinstance(ask(Request(parts[0], parts[1], pairs)), Code)


@given(fields=st.lists(st.tuples(_NAMES, _VALUES), min_size=1, max_size=6), which=st.integers(0))
def test_a_field_that_is_dropped_or_doubled_is_refused(fields: list[Field], which: int) -> None:
    request = _sent(_signed(b"POST", b"/peer", fields))
    index = 1 + which % len(fields)
    pairs = request.fields
    for changed in (
        (*pairs[:index], *pairs[index + 1 :]),
        (*pairs[:index], pairs[index], *pairs[index:]),
    ):
        assert isinstance(ask(Request(request.method, request.target, changed)), Code)


@given(authority=st.sampled_from([HOST, HOST.upper(), HOST.removesuffix(":8443")]))
def test_host_may_be_written_in_any_way_that_means_us(authority: str) -> None:
    request = _sent(_signed(b"POST", b"/peer", []))
    pairs = ((b"host", authority.encode()), *request.fields[1:])
    assert isinstance(ask(Request(b"POST", b"/peer", pairs)), Admission)


# --- parsers -------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        "portal=", '("@method" "@path")', "();", 'tag="portal-peering"', ';tag="portal-peering"',
        ";created=1", ";created=@1", ";created=-1", ";created=1.5", ";created=999999999999999",
        ";expires=61", f';keyid="{ADAS}"', ';nonce="x"', ";bs", ";req", ";sf", '%"%c3%a4"',
        '%"%ff"',
        ":AAAA:", ":A:", "?1", "?2", "@999999999999999", "@-999999999999999", "-", "9" * 16,
        "1.1234",
        '"', "\\", "(", ")", ",", ";", "=", " ", "\t", "*", "x-app", "\x00", "\xe4", f'"{BOBS}"',
        ';app="guestbook"', ";app", "sha-256=", "sha-512=:AAAA:", "md5", ":" + "A" * 43 + "=:",
    ]
)  # fmt: skip
_STRANGE = st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=30)
_OURS = st.sampled_from(
    ["signature", "signature-input", "portal-key", "portal-to", "content-digest", "host",
     "connection", "x-app"]
)  # fmt: skip


@given(
    fields=st.lists(st.tuples(_OURS, _STRANGE), max_size=8),
    keep=st.booleans(),
    method=st.binary(max_size=4),
    target=st.binary(max_size=12) | st.just(b"/peer"),
)
def test_whatever_is_sent_the_gate_admits_or_refuses_and_never_breaks(
    *, fields: list[tuple[str, str]], keep: bool, method: bytes, target: bytes
) -> None:
    names = {name for name, _ in fields}
    kept = [p for p in Draft().sign().fields if keep and p[0].decode() not in names]
    pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in fields]
    try:
        admission = admit(Request(method, target, (*kept, *pairs)), CONTEXT, NOW, Claims())
    except Refusal:
        return
    assert keep or admission.caller.type == "anonymous"


@given(text=_STRANGE)
def test_whatever_stands_in_signature_input_is_refused_beside_a_good_rest(text: str) -> None:
    good = dict(Draft().sign().fields)
    good[b"signature-input"] = text.encode("latin-1", "replace")
    assert isinstance(ask(Request(b"POST", b"/peer/a%2Fb?b&c=%E4", tuple(good.items()))), Code)


@given(name=_NAMES, value=_VALUES)
def test_an_ordinary_field_makes_no_request_ours(name: bytes, value: bytes) -> None:
    assert not is_meant_as_ours([(name, value), (b"signature-input", b'a=();tag="x"')])


@pytest.mark.parametrize("lines", [0, 2])
def test_a_recipient_stands_on_one_line_whoever_asks(lines: int) -> None:
    to = Recipient(BOBS, "guestbook", EPOCH)
    assert read_recipient([to.field()]) == to
    with pytest.raises(Refusal, match="signature_malformed"):
        read_recipient([to.field()] * lines)


@pytest.mark.parametrize(
    "value",
    [
        f'"{BOBS}"',
        f'"{BOBS}";epoch=:gIGCg4SFhoeIiYqLjI2Ojw==:',
        f'"{BOBS}";app="a-b"',
        f'"{BOBS}";epoch=:gIGCg4SFhoeIiYqLjI2Ojw==:;app="a-b"',
        f'"{BOBS}" ; app="x";  epoch=:gIGCg4SFhoeIiYqLjI2Ojw==:',
        '"short";app="A"',
    ],
)
def test_a_recipient_is_read_as_a_structured_field_whatever_its_form(value: str) -> None:
    """What is in our own form is read in another way."""
    try:
        parsed = http_sf.parse(value.encode(), tltype="item")
    except http_sf.StructuredFieldError:
        with pytest.raises(Refusal, match="signature_malformed"):
            read_recipient([(b"portal-to", value.encode())])
        return
    portal_id, parameters = parsed if isinstance(parsed, tuple) else (parsed, {})
    read = read_recipient([(b"portal-to", value.encode())])
    assert (read.portal_id, read.app) == (portal_id, parameters.get("app"))
    assert read.epoch == parameters.get("epoch")
    assert read.epoch in {None, EPOCH}


@pytest.mark.parametrize(
    ("portal_id", "app"), [(BOBS, None), (BOBS, "postcards"), (CLEOS, "guestbook")]
)
def test_another_recipient_is_refused(portal_id: str, app: str | None) -> None:
    refuse_other_recipient(Recipient(BOBS, "guestbook", EPOCH), BOBS, "guestbook")
    with pytest.raises(Refusal, match="wrong_recipient"):
        refuse_other_recipient(Recipient(BOBS, "guestbook", EPOCH), portal_id, app)


def test_a_signature_over_what_is_not_there_is_refused_whoever_asks() -> None:
    request = Draft().sign()
    signature = find_signature(request.fields, TAG)
    read = RequestSignature(signature, ADAS, "", NOW, NOW)
    message = Message(fields=request.fields[:2], method=b"POST", target=b"/", authority=HOST)
    with pytest.raises(Refusal, match="signature_coverage"):
        refuse_forged(read, ADA.public, message)


def test_components_are_compared_whole() -> None:
    assert Component("a", (("bs", True),)) != Component("a")
    assert Component("a") == Component("a", ())


def test_what_the_other_side_wouldnt_read_is_not_signed() -> None:
    named = [(b"x-%0199d" % number, b"") for number in range(41)]
    size = sum(len(name) + len(b' ""') for name, _ in named)
    assert size > MAX_PROOF
    with pytest.raises(Refusal) as caught:
        _signed(b"GET", b"/peer", named)
    assert caught.value.code is Code.HEAD_TOO_LARGE
    request = _signed(b"GET", b"/peer", named[:-5]).message
    admitted = ask(Request(b"GET", b"/peer", ((b"host", HOST.encode()), *request.fields)))
    assert isinstance(admitted, Admission)
