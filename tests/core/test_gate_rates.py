"""The gate asks how often may be asked: of whom, and when, and nothing is spent before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.core.access.policy import ANONYMOUS, MODES, Caller, Mode
from proxy.core.errors import Code, Refusal
from proxy.core.gate import RefusedPeer, Request, admit
from proxy.core.sealing.envelope import GATEWAY
from proxy.core.terminals.cookie import COOKIE_SECURE
from proxy.core.terminals.terminals import Terminal, TerminalList, token_digest
from tests.core.peering import ADAS, CONTEXT, EPOCH, HOST, NOW, Claims, Draft, unsigned

OWN_HOST = CONTEXT.hosts.origin.authority
TOKEN = "T" * 43
PHONE = Terminal("abc234", "Phone", token_digest(TOKEN.encode()), NOW - 1000, NOW - 1000)
AT_BOBS = replace(CONTEXT, modes=frozenset(MODES), terminals=TerminalList((PHONE,)))
COOKIE = ("cookie", f"{COOKIE_SECURE.decode()}={TOKEN}")
WRONG = ("cookie", f"{COOKIE_SECURE.decode()}={'W' * 43}")
DOCUMENT = "/.well-known/portal-identity"
DEVICE = Caller("terminal", "abc234", "Phone")

modes = pytest.mark.parametrize("mode", MODES)


class Asked:
    """Rates that take notes of what they are asked, and refuse at one question."""

    def __init__(self, at: str = "") -> None:
        self.asked: list[tuple[object, ...]] = []
        self._at = at

    def _note(self, question: str, *facts: object) -> None:
        self.asked.append((question, *facts))
        if question == self._at:
            raise Refusal(Code.RATE_LIMITED, question, retry_after=7)

    def count_stranger(self) -> None:
        self._note("stranger")

    def count_at_app(self, caller: Caller, app: str) -> None:
        self._note("at app", caller, app)

    def refuse_peer(self, peer: str, app: str | None) -> None:
        self._note("peer?", peer, app)

    def count_peer(self, peer: str, app: str | None) -> None:
        self._note("peer", peer, app)


def call(mode: Mode, app: str | None = "guestbook") -> Request:
    if app is not None:
        return Draft(sealed=mode == "sealed").sign()
    to = {"portal-to": '"{bob}";epoch={epoch}'}
    return Draft(sealed=mode == "sealed", authority=OWN_HOST, protocol=to).sign()


def refusal_of(ask: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        ask()
    return caught.value


# Strangers and devices.


def test_a_stranger_counts_for_its_network_and_then_at_the_app() -> None:
    rates = Asked()
    admit(unsigned("/public"), AT_BOBS, NOW, Claims(), rates)
    assert rates.asked == [("stranger",), ("at app", ANONYMOUS, "guestbook")]


def test_at_the_portal_s_own_host_a_stranger_counts_for_its_network() -> None:
    for path in ("/core/public/meta/whoareyou", "/core/public/pair", "/nothing"):
        rates = Asked()
        admit(unsigned(path, host=OWN_HOST), AT_BOBS, NOW, Claims(), rates)
        assert rates.asked == [("stranger",)]


def test_the_identity_document_counts_for_nobody() -> None:
    """A peer needs it for its first proof, and would be kept out by who else is there."""
    rates = Asked("stranger")
    admit(unsigned(DOCUMENT, host=OWN_HOST), AT_BOBS, NOW, Claims(), rates)
    assert rates.asked == []
    for request in (
        unsigned(DOCUMENT, host=OWN_HOST, method="POST"),
        unsigned(f"{DOCUMENT}/", host=OWN_HOST),
        unsigned(DOCUMENT, host=HOST),
    ):
        refusal_of(lambda: admit(request, AT_BOBS, NOW, Claims(), rates))  # noqa: B023 - called at once
        assert rates.asked.pop() == ("stranger",)


def test_what_a_stranger_may_not_do_counts_at_no_app() -> None:
    for target in ("/private", "/peer", "/public/%252e%252e/x"):
        rates = Asked()
        refusal_of(lambda: admit(unsigned(target), AT_BOBS, NOW, Claims(), rates))  # noqa: B023 - called at once
        assert ("at app", ANONYMOUS, "guestbook") not in rates.asked


def test_a_network_that_is_too_fast_learns_nothing_of_apps() -> None:
    for target, host in (("/private", HOST), ("/public", HOST), ("/", f"none.{OWN_HOST}")):
        refusal = refusal_of(
            lambda: admit(unsigned(target, host=host), AT_BOBS, NOW, Claims(), Asked("stranger"))  # noqa: B023 - called at once
        )
        assert (refusal.code, refusal.retry_after) == (Code.RATE_LIMITED, 7)


def test_a_device_counts_for_no_network() -> None:
    rates = Asked("stranger")
    admission = admit(unsigned("/private", COOKIE), AT_BOBS, NOW, Claims(), rates)
    assert admission.caller == DEVICE
    assert rates.asked == [("at app", DEVICE, "guestbook")]


@pytest.mark.parametrize(
    "fields", [(WRONG,), (("cookie", "a=b"),), (COOKIE, ("origin", "https://evil.example"))]
)
def test_a_cookie_that_doesn_t_count_makes_nobody_a_device(
    fields: tuple[tuple[str, str], ...],
) -> None:
    rates = Asked("stranger")
    refusal_of(lambda: admit(unsigned("/public", *fields), AT_BOBS, NOW, Claims(), rates))
    assert rates.asked == [("stranger",)]


def test_what_brings_an_envelope_is_judged_by_what_is_in_it() -> None:
    rates = Asked("stranger")
    admit(unsigned(GATEWAY.decode(), host=OWN_HOST, method="POST"), AT_BOBS, NOW, Claims(), rates)
    assert rates.asked == []
    for request in (
        unsigned(GATEWAY.decode(), host=OWN_HOST),
        unsigned(GATEWAY.decode() + "/", host=OWN_HOST, method="POST"),
        unsigned("/", host=OWN_HOST, method="POST"),
    ):
        refusal_of(lambda: admit(request, AT_BOBS, NOW, Claims(), rates))  # noqa: B023 - called at once


# Peers.


@modes
@pytest.mark.parametrize("app", ["guestbook", None])
def test_a_peer_is_asked_for_before_its_nonce_is_claimed_and_counted_after(
    mode: Mode, app: str | None
) -> None:
    rates, order = Asked(), list[str]()

    def claim(portal_id: str, nonce: bytes, epoch: bytes | None) -> None:
        del portal_id, nonce
        assert epoch == EPOCH
        order.extend(str(question) for question, *_ in rates.asked)
        order.append("claim")

    admit(call(mode, app), AT_BOBS, NOW, claim, rates)
    assert rates.asked == [("peer?", ADAS, app), ("peer", ADAS, app)]
    assert order == ["peer?", "claim"]


@modes
def test_a_peer_that_is_too_fast_has_spent_no_nonce_and_is_told_under_its_question(
    mode: Mode,
) -> None:
    claims, rates = Claims(), Asked("peer?")
    refusal = refusal_of(lambda: admit(call(mode), AT_BOBS, NOW, claims, rates))
    assert isinstance(refusal, RefusedPeer)
    assert (refusal.code, refusal.retry_after) == (Code.RATE_LIMITED, 7)
    assert not claims.made
    assert rates.asked == [("peer?", ADAS, "guestbook")]
    admit(call(mode), AT_BOBS, NOW, claims, Asked())
    assert len(claims.made) == 1


@modes
@pytest.mark.parametrize("code", [Code.REPLAYED, Code.OUT_OF_TIME, Code.REPLAY_STORE_DOWN])
def test_a_copy_of_a_call_takes_nothing_from_its_peer(mode: Mode, code: Code) -> None:
    rates = Asked()
    claims = Claims(Refusal(code, "why", now=7))
    refusal_of(lambda: admit(call(mode), AT_BOBS, NOW, claims, rates))
    assert rates.asked == [("peer?", ADAS, "guestbook")]


@modes
def test_who_isn_t_let_in_asks_for_no_rate(mode: Mode) -> None:
    sealed = mode == "sealed"
    rates = Asked()
    for request in (
        Draft(sealed=sealed, key="eve").sign(),
        Draft(sealed=sealed, key="cleo").sign(),
        replace(call(mode), target=b"/peer/other"),
        replace(call(mode), seal=bytes(32)),
    ):
        refusal_of(lambda: admit(request, AT_BOBS, NOW, Claims(), rates))  # noqa: B023 - called at once
    assert rates.asked == []
