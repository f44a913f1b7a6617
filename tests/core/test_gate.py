"""The gate: every attack of ``tests/attacks`` is refused, its harmless twin is admitted."""

import hashlib
import re
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.access.policy import MODES, Caller, Contact, ContactList, Mode
from proxy.core.errors import Code, Refusal
from proxy.core.gate import AccessContext, Admission, RefusedPeer, Request, admit
from proxy.core.http.headers import Indexed
from proxy.core.signature.parameters import decode_nonce
from tests.core.attack_rows import Row, draft_of, rows
from tests.core.peering import (
    ADA,
    ADAS,
    BOBS,
    CLEOS,
    CONTACTS,
    CONTEXT,
    EPOCH,
    EVES,
    HOST,
    NONCE,
    NOW,
    Claims,
    Draft,
    ask,
    edited,
    filled,
    key_field,
    with_field,
)

CONTEXTS: dict[Mode, AccessContext] = {
    mode: replace(CONTEXT, modes=frozenset({mode})) for mode in MODES
}
_ATTACKS = [(mode, *row) for mode in MODES for row in rows(sealed=mode == "sealed")]

modes = pytest.mark.parametrize("mode", MODES)


def _draft(mode: Mode, **changes: Any) -> Draft:
    return Draft(sealed=mode == "sealed", **changes)


def _request(mode: Mode, name: str, row: Row) -> Request:
    """Return a row's request.

    In an envelope with a digest, which the rows for both modes bend; the others bend what honest
    senders send.
    """
    if mode == "signed":
        return draft_of(row)
    return draft_of(row, sealed=True, digest=not name.startswith("sealed: "))


@pytest.mark.parametrize(
    ("mode", "name", "row"), _ATTACKS, ids=[f"{mode}: {name}" for mode, name, _ in _ATTACKS]
)
def test_an_attack_is_refused_and_its_harmless_twin_admitted(
    mode: Mode, name: str, row: Row
) -> None:
    claims = Claims()
    with pytest.raises(Refusal) as caught:
        admit(_request(mode, name, row), CONTEXTS[mode], NOW, claims)
    assert caught.value.code.public == row["code"], caught.value.detail
    assert row.get("because", "") in caught.value.detail
    assert not claims.made
    twin = admit(_request(mode, name, row.get("twin", {})), CONTEXTS[mode], NOW, claims)
    assert isinstance(twin, Admission)


def test_a_peer_is_admitted_with_what_its_app_sent_and_nothing_else() -> None:
    claims = Claims()
    request = with_field(Draft().sign(), "x-ptl-client-id", BOBS)
    admission = admit(request, CONTEXT, NOW, claims)
    assert admission.caller == Caller("peer", ADAS, "Ada")
    assert admission.app == "guestbook"
    assert admission.rule is not None
    assert admission.rule.prefix == b"/peer"
    assert admission.target.raw == b"/peer/a%2Fb?b&c=%E4"
    assert admission.fields == ((b"content-type", b"text/plain"), (b"x-app", b"one"))
    assert admission.digests == {"sha-256": hashlib.sha256(b"Hello").digest()}
    assert admission.question is not None
    assert admission.question.nonce == NONCE
    assert claims.made == [(ADAS, decode_nonce(NONCE), EPOCH)]


@modes
def test_a_peer_may_ask_the_portal_itself(mode: Mode) -> None:
    to = {"portal-to": '"{bob}";epoch={epoch}'}
    draft = _draft(mode, authority=CONTEXT.hosts.origin.authority, protocol=to)
    admission = ask(draft.sign(), CONTEXTS[mode])
    assert isinstance(admission, Admission)
    assert (admission.app, admission.rule) == (None, None)
    assert admission.fields == ((b"content-type", b"text/plain"), (b"x-app", b"one"))


def test_a_contact_hidden_from_an_app_may_still_ask_the_portal_itself() -> None:
    to = {"portal-to": '"{bob}";epoch={epoch}'}
    draft = Draft(key="cleo", authority=CONTEXT.hosts.origin.authority, protocol=to)
    assert isinstance(ask(draft.sign()), Admission)


@pytest.mark.parametrize("name", ["x-evil", "x-ptl-client-type", "cookie", "portal-app-signature"])
def test_a_field_that_is_not_covered_is_not_forwarded(name: str) -> None:
    added = ask(with_field(Draft().sign(), name, "evil"))
    assert isinstance(added, Admission)
    assert (b"content-type", b"text/plain") in added.fields
    assert b"evil" not in [value for _, value in added.fields]


def test_what_the_app_signed_itself_gets_its_names_back() -> None:
    apps = [
        ("portal-app-signature", "a=:AAAA:"),
        ("portal-app-signature-input", 'a=("@path")'),
        ("portal-app-content-digest", "md5=:AAAA:"),
    ]
    admission = ask(Draft(fields=apps).sign())
    assert isinstance(admission, Admission)
    assert admission.fields == (
        (b"signature", b"a=:AAAA:"),
        (b"signature-input", b'a=("@path")'),
        (b"content-digest", b"md5=:AAAA:"),
    )


def test_lines_of_a_field_and_bytes_outside_ascii_arrive_as_they_were() -> None:
    fields = [("x-a", "1"), ("x-b", "\xe4\xff"), ("x-a", "2"), ("x-c", ""), ("x-a", "1")]
    admission = ask(Draft(fields=fields).sign())
    assert isinstance(admission, Admission)
    assert admission.fields == tuple((n.encode(), v.encode("latin-1")) for n, v in fields)


# --- who is who ----------------------------------------------------------------------------


@modes
def test_of_two_contacts_that_share_a_prefix_only_the_one_whose_key_it_is_comes_in(
    mode: Mode,
) -> None:
    request, context = _draft(mode).sign(), CONTEXTS[mode]
    twin = Contact(ADAS[:100] + "aaa", "Not Ada", "https://ada.example")
    alone = replace(context, contacts=ContactList((twin,), {"guestbook": "all"}))
    assert ask(request, alone) is Code.NOT_ALLOWED
    contacts = ContactList((twin, *CONTACTS.peers), {"guestbook": "all"})
    both = ask(request, replace(context, contacts=contacts))
    assert isinstance(both, Admission)
    assert both.caller.name == "Ada"


@modes
def test_hidden_and_unknown_look_alike_to_the_sender(mode: Mode) -> None:
    details = []
    for key in ("cleo", "eve"):
        with pytest.raises(Refusal) as caught:
            admit(_draft(mode, key=key).sign(), CONTEXTS[mode], NOW, Claims())
        assert caught.value.code is Code.NOT_ALLOWED
        details.append(caught.value.detail)
    assert CLEOS in details[0]
    assert "isn't a contact" in details[1]
    assert EVES in details[1]


@modes
@pytest.mark.parametrize("key", ["ada", "cleo", "eve"])
def test_where_nobody_knows_the_contacts_each_signed_call_is_refused_alike(
    mode: Mode, key: str
) -> None:
    context = replace(CONTEXTS[mode], contacts=None)
    claims = Claims()
    with pytest.raises(RefusedPeer) as caught:
        admit(_draft(mode, key=key).sign(), context, NOW, claims)
    assert caught.value.code is Code.CONTACTS_UNAVAILABLE
    assert not claims.made


@modes
def test_where_nobody_knows_what_an_app_asks_for_nobody_enters_it(mode: Mode) -> None:
    apps = {n: matcher for n, matcher in CONTEXTS[mode].apps.items() if n != "guestbook"}
    context = replace(CONTEXTS[mode], apps=apps, unavailable=frozenset({"guestbook"}))
    with pytest.raises(RefusedPeer) as caught:
        admit(_draft(mode).sign(), context, NOW, Claims())
    assert caught.value.code is Code.APP_UNAVAILABLE
    with pytest.raises(Refusal) as stranger:
        admit(Request(b"GET", b"/", Indexed(((b"host", HOST.encode()),))), context, NOW, Claims())
    assert stranger.value.code is Code.APP_UNAVAILABLE


# --- replay, and the order of the checks ---------------------------------------------------


@modes
@pytest.mark.parametrize("code", [Code.REPLAYED, Code.REPLAY_STORE_DOWN, Code.OUT_OF_TIME])
def test_what_the_replay_store_refuses_is_refused(code: Code, mode: Mode) -> None:
    with pytest.raises(RefusedPeer) as caught:
        admit(_draft(mode).sign(), CONTEXTS[mode], NOW, Claims(Refusal(code, "why", now=7)))
    assert (caught.value.code, caught.value.detail, caught.value.now) == (code, "why", 7)
    assert caught.value.question.nonce == NONCE


@modes
def test_a_request_out_of_time_is_told_our_time_and_no_other_refusal_is(mode: Mode) -> None:
    for now in (NOW + 120.7, NOW - 60.5):
        with pytest.raises(RefusedPeer) as caught:
            admit(_draft(mode).sign(), CONTEXTS[mode], now, Claims())
        assert (caught.value.code, caught.value.now) == (Code.OUT_OF_TIME, int(now))
    with pytest.raises(RefusedPeer) as caught:
        admit(_draft(mode, key="eve").sign(), CONTEXTS[mode], NOW, Claims())
    assert caught.value.now is None


def test_what_is_not_even_well_formed_gets_no_signed_response() -> None:
    with pytest.raises(Refusal) as caught:
        admit(Draft(more=";admin").sign(), CONTEXT, NOW, Claims())
    assert not isinstance(caught.value, RefusedPeer)


_FAULTS: list[tuple[str, dict[str, Any], list[list[str]], Code]] = [
    ("a malformed field", {}, [["add", "x-more", "a\x00"]], Code.BAD_FIELD),
    ("two Hosts", {}, [["add", "host", HOST]], Code.BAD_REQUEST),
    ("another Host", {}, [["set", "host", "evil.example"]], Code.MISDIRECTED),
    ("form", {"more": ";admin"}, [], Code.SIGNATURE_MALFORMED),
    ("mode", {}, [], Code.MODE_NOT_ACCEPTED),
    ("hop", {}, [["add", "upgrade", "h2c"]], Code.UPGRADE_UNSUPPORTED),
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
"""What may be wrong, in the order in which it is looked for."""
_NO_FAULT: dict[Mode, set[str]] = {"signed": {"a field uncovered", "envelope"}, "sealed": {"hop"}}
"""What is none in a mode: a signed request may have further fields, an envelope can't upgrade."""


@pytest.mark.parametrize(
    ("mode", "first"),
    [(mode, name) for mode in MODES for name, *_ in _FAULTS if name not in _NO_FAULT[mode]],
)
def test_of_several_faults_the_first_in_the_order_decides(mode: Mode, first: str) -> None:
    """Each fault together with every later one, the claim's among them."""
    faults = [fault for fault in _FAULTS if fault[0] not in _NO_FAULT[mode]]
    while faults[0][0] != first:
        del faults[0]
    sign: dict[str, Any] = {}
    then: list[list[str]] = []
    for _, more, edits, _ in reversed(faults):
        for name, value in more.items():
            sign[name] = {**sign.get(name, {}), **value} if isinstance(value, dict) else value
        then = [*edits, *then]
    (other,) = set(MODES) - {mode}
    is_refused = any(code is Code.MODE_NOT_ACCEPTED for *_, code in faults)
    context = CONTEXTS[other if is_refused else mode]
    with pytest.raises(Refusal) as caught:
        admit(
            edited(_draft(mode, **sign).sign(), then), context, NOW, Claims(Refusal(Code.REPLAYED))
        )
    assert caught.value.code is faults[0][3], caught.value.detail


def test_placeholders_of_the_tables_stand_for_what_they_say() -> None:
    assert filled("{ada} {ada-key} {other} {3}") == f"{ADAS} {key_field(ADA)} {{other}} xxx"
    assert re.fullmatch(r"[a-z0-9]{103}", ADAS)
    assert isinstance(CONTEXT, AccessContext)
