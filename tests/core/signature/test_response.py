"""The signed response: only what the called Portal signed for this one request is believed."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.gate import Admission
from proxy.core.http.headers import Field, values_of
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Component, Message, NotSignable, signature_base
from proxy.core.signature.digest import content_digest
from proxy.core.signature.response import Question, Untrusted, sign_response, verify_response
from tests.core.peering import ADAS, BOB, BOBS, CLEOS, EVE, NONCE, NOW, Draft, ask

_HELLO = content_digest(hashlib.sha256(b"Hello").digest())
_FIELDS: tuple[Field, ...] = (
    (b"content-type", b"text/html"),
    (b"set-cookie", b"a=1"),
    (b"set-cookie", b"b=2"),
    (b"x-8bit", b"\xe4"),
    (b"x-empty", b""),
    _HELLO,
)


def _question(draft: Draft | None = None) -> Question:
    admission = ask((draft or Draft()).sign())
    assert isinstance(admission, Admission)
    assert admission.question is not None
    return admission.question


_QUESTION = _question()


def _signed(fields: tuple[Field, ...] = _FIELDS, key: PrivateKey = BOB) -> Message:
    return sign_response(key, Message(fields=fields, status=201), _QUESTION, now=NOW).message


def _refused(message: Message, question: Question = _QUESTION, expected: str = BOBS) -> str:
    with pytest.raises(Untrusted) as caught:
        verify_response(expected, message, question)
    return str(caught.value)


def _edit(message: Message, name: bytes, old: bytes, new: bytes) -> Message:
    """Replace in the value of one field; what isn't there can't be replaced."""
    assert any(old in value for value in values_of(message.fields, name)), (name, old)
    fields = [(n, v.replace(old, new) if n == name else v) for n, v in message.fields]
    return replace(message, fields=tuple(fields))


def _add(message: Message, *fields: Field) -> Message:
    return replace(message, fields=(*message.fields, *fields))


def _drop(message: Message, *names: bytes) -> Message:
    return replace(message, fields=tuple(p for p in message.fields if p[0] not in names))


def _resigned(
    edit: Callable[[str], str],
    *,
    key: PrivateKey = BOB,
    keyid: str = BOBS,
    more: tuple[Field, ...] = (),
    without: tuple[bytes, ...] = (),
) -> Message:
    """Sign the response with an edited ``@signature-params``: a signature that verifies."""
    unsigned = _drop(_signed(), b"signature", b"signature-input", b"portal-key", *without)
    portal_key = (b"portal-key", b":" + base64.b64encode(key.public.raw) + b":")
    message = _add(unsigned, portal_key, *more)
    asked = [component.of_request().identifier for component in _QUESTION.components]
    covered = ['"@status"', '"content-type"', '"set-cookie";bs', '"x-8bit";bs', '"x-empty"']
    listed = " ".join([*covered, '"content-digest"', '"portal-key"', *asked])
    tail = f';created={NOW};nonce="{NONCE}";keyid="{keyid}";tag="portal-peering-response"'
    text = edit(f"({listed}){tail}")
    components = []
    for name, flags in re.findall(
        r'"([^"]+)"((?:;[a-z]+)*)(?=[ )])', text.partition(");")[0] + ")"
    ):
        pairs = tuple((flag, True) for flag in flags.split(";") if flag)
        components.append(Component(name, pairs))
    try:
        base = signature_base(components, text, message, _QUESTION.message)
    except NotSignable:
        base = b""
    value = base64.b64encode(key.sign(base))
    signature = (b"signature", b"x=:" + value + b":")
    return _add(message, (b"signature-input", b"x=" + text.encode()), signature)


def test_a_response_is_believed_with_exactly_what_was_covered() -> None:
    message = _add(_signed(), (b"x-uncovered", b"1"), (b"via", b"1.1 tunnel"))
    verified = verify_response(BOBS, message, _QUESTION)
    assert verified.fields == (*_FIELDS, *message.fields[len(_FIELDS) : len(_FIELDS) + 1])
    assert verified.fields[-1][0] == b"portal-key"
    assert verified.digests == {"sha-256": hashlib.sha256(b"Hello").digest()}


def test_the_tests_own_signature_is_believed_too() -> None:
    assert verify_response(BOBS, _resigned(lambda text: text), _QUESTION).fields[:5] == _FIELDS[:5]


def test_a_field_that_was_not_covered_is_dropped_not_believed() -> None:
    message = _resigned(lambda text: text.replace(' "content-type" ', " "))
    verified = verify_response(BOBS, message, _QUESTION)
    assert b"content-type" not in dict(verified.fields)
    assert b"set-cookie" in dict(verified.fields)


def test_another_portals_response_is_not_believed() -> None:
    assert "answered with the key of" in _refused(_signed(key=EVE))
    assert "answered with the key of" in _refused(_signed(), expected=ADAS)
    assert "answered with the key of" in _refused(_signed(), expected=BOBS[:6])
    assert "answered with the key of" in _refused(_resigned(lambda text: text, keyid=CLEOS))
    assert "answered with the key of" in _refused(_resigned(lambda text: text, key=EVE))


def test_a_forged_signature_is_not_believed() -> None:
    eves = dict(_signed(key=EVE).fields)[b"signature"]
    message = _add(_drop(_signed(), b"signature"), (b"signature", eves))
    assert "doesn't verify" in _refused(message)


def test_the_response_to_another_call_is_not_believed() -> None:
    other = Draft(parameters={"nonce": '"__________________________________________8"'})
    assert "another request" in _refused(_signed(), _question(other))


@pytest.mark.parametrize(
    "draft",
    [
        Draft(method="PUT"),
        Draft(target="/peer/a%2Fb?b&c=%E5"),
        Draft(fields=[("content-type", "text/plain"), ("x-app", "two")]),
        Draft(body="Other"),
        Draft(key="cleo", authority="postcards.sl3fal.p.example:8443",
              protocol={"portal-to": '"{bob}";app="postcards";epoch={epoch}'}),
    ],
)  # fmt: skip
def test_the_response_to_another_question_with_the_same_nonce_is_not_believed(draft: Draft) -> None:
    assert "doesn't verify" in _refused(_signed(), _question(draft))


def test_a_question_that_covers_more_needs_a_response_that_does() -> None:
    more = Draft(fields=[("content-type", "text/plain"), ("x-app", "one"), ("x-more", "1")])
    assert 'doesn\'t cover "x-more";req' in _refused(_signed(), _question(more))


@pytest.mark.parametrize(
    "identifier",
    ['"@status"', '"content-digest"', *(c.of_request().identifier for c in _QUESTION.components)],
)
def test_every_component_that_is_needed_is_needed(identifier: str) -> None:
    def dropped(text: str) -> str:
        kept = text.replace(f" {identifier}", "", 1).replace(f"({identifier} ", "(", 1)
        assert kept != text
        return kept

    assert f"doesn't cover {identifier}" in _refused(_resigned(dropped))


@pytest.mark.parametrize(
    ("old", "new", "because"),
    [
        ('"set-cookie";bs', '"set-cookie"', "covered wrongly"),
        ('"x-8bit";bs', '"x-8bit"', "covered wrongly"),
        ('"content-type"', '"content-type";bs', "covered wrongly"),
        ('"content-digest"', '"content-digest";bs', "doesn't cover"),
        ('"@status"', '"@status";req', "doesn't cover"),
        ('"@method";req', '"@method"', "doesn't cover"),
        ('"x-empty"', '"x-absent"', 'covers "x-absent"'),
        ('"x-empty"', '"X-Empty"', 'covers "X-Empty"'),
        ('"x-empty"', '"x-empty" "@method"', 'covers "@method"'),
        ('"x-empty"', '"x-empty" "x-empty";req', 'covers "x-empty";req'),
        ('"x-empty"', '"x-empty" "@target-uri";req', 'covers "@target-uri";req'),
        ('"x-empty"', '"x-empty" "x-empty"', "twice"),
        ('"x-empty"', '"x-empty";sf', "'sf' isn't allowed"),
        ('"x-empty"', '"x-empty";tr', "'tr' isn't allowed"),
        ('"portal-peering-response"', '"portal-peering"', "0 signatures"),
        ('"portal-peering-response"', '"portal-identity"', "0 signatures"),
        (f';nonce="{NONCE}"', "", "nonce must be"),
        (f'nonce="{NONCE}"', f'nonce="{NONCE}="', "nonce must be"),
        (f";created={NOW}", "", "created must be"),
        (f"created={NOW}", f"created={NOW}.0", "created must be"),
        (f";created={NOW}", f";created={NOW};created={NOW}", "twice"),
        (f'keyid="{BOBS}"', f'keyid="{BOBS[:6]}"', "keyid must be"),
        (f';keyid="{BOBS}"', "", "keyid must be"),
        (";tag=", ';alg="ed25519";tag=', "'alg' isn't allowed"),
        (";tag=", f";expires={NOW + 60};tag=", "'expires' isn't allowed"),
    ],
)
def test_a_signature_in_another_form_is_not_believed(old: str, new: str, because: str) -> None:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    assert because in _refused(_resigned(edit))


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda m: replace(m, status=200), "doesn't verify"),
        (lambda m: _edit(m, b"content-type", b"html", b"css"), "doesn't verify"),
        (lambda m: _edit(m, b"set-cookie", b"a=1", b"a=2"), "doesn't verify"),
        (lambda m: _edit(m, b"content-digest", b"GF", b"GG"), "doesn't verify"),
        (lambda m: _drop(m, b"content-type"), 'covers "content-type"'),
        (lambda m: _add(m, (b"content-type", b"text/css")), "covered wrongly"),
        (lambda m: _add(m, (b"set-cookie", b"c=3")), "doesn't verify"),
        (lambda m: _drop(m, b"signature"), "64-byte"),
        (lambda m: _drop(m, b"signature-input"), "0 signatures"),
        (lambda m: _drop(m, b"signature", b"signature-input", b"portal-key"), "0 signatures"),
        (lambda m: _drop(m, b"portal-key"), "exactly one line"),
        (lambda m: _add(m, (b"portal-key", b":AAAA:")), "exactly one line"),
        (lambda m: _edit(m, b"portal-key", b":", b""), "isn't a byte sequence"),
        (lambda m: _drop(m, b"content-digest"), "content-digest must stand"),
        (lambda m: _add(m, _HELLO), "content-digest must stand"),
        (lambda m: _edit(m, b"signature", b"==:", b":"), "canonical"),
        (
            lambda m: _edit(
                m, b"portal-key", values_of(m.fields, b"portal-key")[0], b":" + b"A" * 43 + b"=:"
            ),
            "not a canonical point",
        ),
    ],
)
def test_a_response_that_was_changed_is_not_believed(
    change: Callable[[Message], Message], because: str
) -> None:
    assert because in _refused(change(_signed()))


def test_a_response_whose_digest_is_of_no_known_algorithm_is_not_believed() -> None:
    message = _resigned(lambda t: t, without=(b"content-digest",),
                        more=((b"content-digest", b"md5=:AAAA:"),))  # fmt: skip
    assert "names none of" in _refused(message)


def test_a_response_whose_digest_stands_on_two_lines_is_not_believed() -> None:
    twice = tuple((b"content-digest", value) for value in (b"md5=:AAAA:", _HELLO[1]))
    message = _resigned(lambda t: t, without=(b"content-digest",), more=twice)
    assert "content-digest must stand on exactly one line" in _refused(message)


def test_a_request_of_the_same_key_is_no_response() -> None:
    request = Draft(key="bob", authority="x.example", protocol={"portal-to": f'"{ADAS}"'}).sign()
    assert "0 signatures" in _refused(Message(fields=request.fields, status=200))


def test_what_covers_nothing_that_is_there_cannot_be_answered_for() -> None:
    question = replace(_QUESTION, components=(*_QUESTION.components, Component("x-absent")))
    with pytest.raises(NotSignable):
        sign_response(BOB, Message(fields=_FIELDS, status=200), question, now=NOW)


@given(where=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_a_bit_that_is_flipped_anywhere_is_noticed(where: int, bit: int) -> None:
    """Either nothing is believed, or what was flipped isn't among what is."""
    message = _signed()
    parts = [part for pair in message.fields for part in pair]
    place = where % sum(map(len, parts))
    index = 0
    while place >= len(parts[index]):
        place -= len(parts[index])
        index += 1
    raw = bytearray(parts[index])
    raw[place] ^= 1 << bit
    parts[index] = bytes(raw)
    pairs = tuple(zip(parts[::2], parts[1::2], strict=True))
    _refused(replace(message, fields=pairs))


@given(st.lists(st.tuples(st.sampled_from([n for n, _ in _signed().fields]),
                          st.binary(max_size=20) | st.sampled_from([v for _,
                          v in _signed().fields])),
                max_size=8))  # fmt: skip
def test_whatever_comes_is_believed_or_untrusted_and_nothing_breaks(fields: list[Field]) -> None:
    _refused(Message(fields=tuple(fields), status=201))
