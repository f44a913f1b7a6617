"""The gate for what comes in an envelope: every attack again, and what only envelopes have."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.access.policy import Caller, Contact, ContactList
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, RefusedPeer, Request, admit
from proxy.core.signature.parameters import decode_nonce
from tests.core.attack_rows import Row, draft_of, rows
from tests.core.peering import (
    ADAS,
    BOBS,
    CONTEXT,
    HOST,
    NONCE,
    NOW,
    SEAL,
    Claims,
    Draft,
    ask,
    edited,
    with_field,
)

SEALED = replace(CONTEXT, modes=frozenset({"sealed"}))
_ATTACKS = rows(sealed=True)
_NAMES = [name for name, _ in _ATTACKS]


def _request(name: str, row: Row) -> Request:
    """Return the row's request in an envelope.

    With a digest, which the rows for both modes bend; the others bend what honest senders send.
    """
    return draft_of(row, sealed=True, digest=not name.startswith("sealed: "))


def _in_envelope(**changes: Any) -> Request:
    return Draft(sealed=True, **changes).sign()


@pytest.mark.parametrize(("name", "row"), _ATTACKS, ids=_NAMES)
def test_an_attack_is_refused_in_an_envelope_and_its_harmless_twin_admitted(
    name: str, row: Row
) -> None:
    claims = Claims()
    with pytest.raises(Refusal) as caught:
        admit(_request(name, row), SEALED, NOW, claims)
    assert caught.value.code.public == row["code"], caught.value.detail
    assert row.get("because", "") in caught.value.detail
    assert not claims.made
    twin = admit(_request(name, row.get("twin", {})), SEALED, NOW, claims)
    assert isinstance(twin, Admission)


def test_there_are_rows_for_both_modes_and_for_each_alone() -> None:
    signed = {name for name, _ in rows(sealed=False)}
    assert len(signed & set(_NAMES)) > 200
    assert {name for name in set(_NAMES) - signed if not name.startswith("sealed: ")} == set()
    assert "on_the_way: portal-seal in signed mode" in signed - set(_NAMES)


def test_a_sealed_call_is_admitted_with_what_its_app_sent_and_nothing_else() -> None:
    claims = Claims()
    admission = admit(_in_envelope(fields=(("x-ptl-client-id", BOBS), ("x-app", "1"))), SEALED,
                      NOW, claims)  # fmt: skip
    assert admission.caller == Caller("peer", ADAS, "Ada")
    assert admission.app == "guestbook"
    assert admission.fields == ((b"x-app", b"1"),)
    assert admission.digests == {}
    assert admission.question is not None
    assert claims.made == [(ADAS, decode_nonce(NONCE), NOW)]


def test_a_digest_is_no_duty_in_an_envelope_and_verified_where_it_is_sent() -> None:
    admission = ask(_in_envelope(digest=True), SEALED)
    assert isinstance(admission, Admission)
    assert admission.digests == {"sha-256": hashlib.sha256(b"Hello").digest()}


def test_what_the_app_signed_itself_gets_its_names_back() -> None:
    apps = [("portal-app-signature", "a=:AAAA:"), ("portal-app-content-digest", "md5=:AAAA:")]
    admission = ask(_in_envelope(fields=apps), SEALED)
    assert isinstance(admission, Admission)
    assert admission.fields == ((b"signature", b"a=:AAAA:"), (b"content-digest", b"md5=:AAAA:"))
    assert admission.digests == {}


def test_a_peer_may_ask_the_portal_itself() -> None:
    to = {"portal-to": f'"{BOBS}"'}
    request = _in_envelope(authority=CONTEXT.hosts.origin.authority, protocol=to)
    admission = ask(request, SEALED)
    assert isinstance(admission, Admission)
    assert (admission.app, admission.rule) == (None, None)


# --- envelopes and modes -------------------------------------------------------------------


def test_a_call_is_good_for_the_one_envelope_that_it_names() -> None:
    request = _in_envelope()
    for seal in (bytes(32), SEAL[::-1], SEAL[:31], SEAL + b"\0", b""):
        assert ask(replace(request, seal=seal), SEALED) is Code.WRONG_ENVELOPE


def test_a_sealed_call_is_none_outside_of_its_envelope() -> None:
    taken_out = replace(_in_envelope(digest=True), seal=None)
    assert ask(taken_out, CONTEXT) is Code.SIGNATURE_MALFORMED
    assert ask(taken_out, SEALED) is Code.MODE_NOT_ACCEPTED


def test_a_signed_call_is_none_in_an_envelope() -> None:
    put_in = replace(Draft().sign(), seal=SEAL)
    assert ask(put_in, SEALED) is Code.SIGNATURE_COVERAGE


@pytest.mark.parametrize("sealed", [True, False])
def test_a_mode_that_the_owner_does_not_accept_is_refused(*, sealed: bool) -> None:
    request = Draft(sealed=sealed).sign()
    only_signed = replace(CONTEXT, modes=frozenset({"signed"}))
    both = replace(CONTEXT, modes=frozenset({"signed", "sealed"}))
    assert isinstance(ask(request, both), Admission)
    accepting, refusing = (SEALED, only_signed) if sealed else (only_signed, SEALED)
    assert isinstance(ask(request, accepting), Admission)
    for context in (refusing, replace(CONTEXT, modes=frozenset())):
        with pytest.raises(RefusedPeer) as caught:
            admit(request, context, NOW, Claims())
        assert caught.value.code is Code.MODE_NOT_ACCEPTED


@pytest.mark.parametrize("target", ["/public", "/peer", "/", "/public/secret"])
@pytest.mark.parametrize("host", [HOST, CONTEXT.hosts.origin.authority])
def test_nobody_is_anonymous_in_an_envelope(target: str, host: str) -> None:
    fields = ((b"host", host.encode()), (b"accept", b"*/*"))
    unsigned = Request(b"GET", target.encode(), fields, SEAL)
    assert ask(unsigned, SEALED) is Code.PROOF_REQUIRED


# --- who is who, replay, order -------------------------------------------------------------


def test_of_two_contacts_that_share_a_prefix_only_the_one_whose_key_it_is_comes_in() -> None:
    twin = Contact(ADAS[:100] + "aaa", "Not Ada", "https://ada.example")
    alone = replace(SEALED, contacts=ContactList((twin,), {"guestbook": "all"}))
    assert ask(_in_envelope(), alone) is Code.NOT_ALLOWED


def test_hidden_and_unknown_look_alike_to_the_sender() -> None:
    hidden, unknown = (ask(_in_envelope(key=key), SEALED) for key in ("cleo", "eve"))
    assert hidden is unknown is Code.NOT_ALLOWED


@pytest.mark.parametrize("code", [Code.REPLAYED, Code.REPLAY_STORE_DOWN, Code.OUT_OF_TIME])
def test_what_the_replay_store_refuses_is_refused(code: Code) -> None:
    with pytest.raises(RefusedPeer) as caught:
        admit(_in_envelope(), SEALED, NOW, Claims(Refusal(code, "why", now=7)))
    assert (caught.value.code, caught.value.detail, caught.value.now) == (code, "why", 7)


def test_a_call_out_of_time_is_told_our_time() -> None:
    for now in (NOW + 120.7, NOW - 60.5):
        with pytest.raises(RefusedPeer) as caught:
            admit(_in_envelope(), SEALED, now, Claims())
        assert (caught.value.code, caught.value.now) == (Code.OUT_OF_TIME, int(now))


_FAULTS: list[tuple[str, dict[str, Any], list[list[str]], Code]] = [
    ("a malformed field", {}, [["add", "x-more", "a\x00"]], Code.BAD_FIELD),
    ("two Hosts", {}, [["add", "host", HOST]], Code.BAD_REQUEST),
    ("another Host", {}, [["set", "host", "evil.example"]], Code.MISDIRECTED),
    ("form", {"more": ";admin"}, [], Code.SIGNATURE_MALFORMED),
    ("mode", {}, [], Code.MODE_NOT_ACCEPTED),
    ("time", {"parameters": {"created": "now-500"}}, [], Code.OUT_OF_TIME),
    ("coverage", {"without": ['"@path"']}, [], Code.SIGNATURE_COVERAGE),
    ("a field uncovered", {}, [["add", "x-more", "1"]], Code.SIGNATURE_COVERAGE),
    ("key", {"protocol": {"portal-key": "{cleo-key}"}}, [], Code.KEY_MISMATCH),
    ("recipient", {"protocol": {"portal-to": '"{cleo}"'}}, [], Code.WRONG_RECIPIENT),
    ("envelope", {"protocol": {"portal-seal": "{other-seal}"}}, [], Code.WRONG_ENVELOPE),
    ("signature", {}, [["set", "x-app", "two"]], Code.SIGNATURE_INVALID),
    ("contact", {"key": "eve"}, [], Code.NOT_ALLOWED),
    ("target", {"target": "/public/../x"}, [], Code.BAD_TARGET),
    ("access", {"target": "/public/secret"}, [], Code.NOT_ALLOWED),
    ("digest", {"protocol": {"content-digest": "md5=:AAAA:"}}, [], Code.SIGNATURE_MALFORMED),
]


@pytest.mark.parametrize("first", range(len(_FAULTS)), ids=[fault[0] for fault in _FAULTS])
def test_of_several_faults_the_first_in_the_order_decides(first: int) -> None:
    """Each fault together with every later one, the claim's among them."""
    sign: dict[str, Any] = {}
    then: list[list[str]] = []
    for _, more, edits, _ in reversed(_FAULTS[first:]):
        for name, value in more.items():
            sign[name] = {**sign.get(name, {}), **value} if isinstance(value, dict) else value
        then = [*edits, *then]
    mode = any(code is Code.MODE_NOT_ACCEPTED for *_, code in _FAULTS[first:])
    context = CONTEXT if mode else SEALED
    with pytest.raises(Refusal) as caught:
        admit(edited(_in_envelope(**sign), then), context, NOW, Claims(Refusal(Code.REPLAYED)))
    assert caught.value.code is _FAULTS[first][3], caught.value.detail


def test_every_bit_of_the_seal_matters() -> None:
    request = _in_envelope()
    for byte in range(len(SEAL)):
        flipped = bytes(b ^ (1 << byte % 8) if i == byte else b for i, b in enumerate(SEAL))
        assert ask(replace(request, seal=flipped), SEALED) is Code.WRONG_ENVELOPE


@pytest.mark.parametrize("name", ["x-evil", "x-ptl-client-type", "cookie", "te", "connection"])
def test_a_field_that_is_not_covered_is_refused_and_not_only_dropped(name: str) -> None:
    assert ask(with_field(_in_envelope(), name, "evil"), SEALED) is Code.SIGNATURE_COVERAGE
