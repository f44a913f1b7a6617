"""The gate for what only envelopes have; ``test_gate`` has what holds in both modes."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.access.policy import Caller
from proxy.core.errors import Code
from proxy.core.gate import Admission, RefusedPeer, Request, admit
from proxy.core.signature.parameters import decode_nonce
from tests.core.attack_rows import rows
from tests.core.peering import (
    ADAS,
    BOBS,
    CONTEXT,
    EPOCH,
    HOST,
    NONCE,
    NOW,
    SEAL,
    Claims,
    Draft,
    ask,
    with_field,
)

SEALED = replace(CONTEXT, modes=frozenset({"sealed"}))
_ATTACKS = rows(sealed=True)
_NAMES = [name for name, _ in _ATTACKS]


def _in_envelope(**changes: Any) -> Request:
    return Draft(sealed=True, **changes).sign()


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
    assert claims.made == [(ADAS, decode_nonce(NONCE), EPOCH)]


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


def test_every_bit_of_the_seal_matters() -> None:
    request = _in_envelope()
    for byte in range(len(SEAL)):
        flipped = bytes(b ^ (1 << byte % 8) if i == byte else b for i, b in enumerate(SEAL))
        assert ask(replace(request, seal=flipped), SEALED) is Code.WRONG_ENVELOPE


@pytest.mark.parametrize("name", ["x-evil", "x-ptl-client-type", "cookie", "te", "connection"])
def test_a_field_that_is_not_covered_is_refused_and_not_only_dropped(name: str) -> None:
    assert ask(with_field(_in_envelope(), name, "evil"), SEALED) is Code.SIGNATURE_COVERAGE


def test_where_apps_have_no_hosts_an_envelope_names_one_all_the_same() -> None:
    one_name = replace(SEALED, hosts=replace(SEALED.hosts, of_apps=False))
    admission = ask(_in_envelope(), one_name)
    assert isinstance(admission, Admission)
    assert admission.app == "guestbook"
    unsigned = Request(b"GET", b"/public", ((b"host", HOST.encode()),), seal=SEAL)
    assert ask(unsigned, one_name) is Code.PROOF_REQUIRED
