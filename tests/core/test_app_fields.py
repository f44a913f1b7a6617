"""What reaches an app: what was sent and may pass, and what we say ourselves."""

import pytest

from proxy.core.access.policy import ANONYMOUS, Access, Caller
from proxy.core.access.rules import Rule
from proxy.core.access.template import Template, Variables
from proxy.core.app_fields import (
    DEFAULT_POLICY,
    FieldPolicy,
    fields_for_app,
    fields_from_us,
    fields_of_call,
    fields_of_peer,
    fields_of_stranger,
)
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import INTERMEDIARY, Field
from proxy.core.signature.base import Component
from tests.core.peering import ADAS, BOB, BOBS

_NONE: frozenset[bytes] = frozenset()
_PORTAL = Variables("peer", ADAS, "Ad\xe4", "x.p.example", BOBS, BOBS[:6], BOB.public.pem)


def _covered(fields: list[Field]) -> tuple[Component, ...]:
    return tuple(Component(name.decode()) for name in dict.fromkeys(name for name, _ in fields))


@pytest.mark.parametrize("spelled", [b"-", b"_", b"."])
@pytest.mark.parametrize("name", sorted(INTERMEDIARY))
def test_what_intermediaries_write_reaches_no_app_in_any_spelling(
    name: bytes, spelled: bytes
) -> None:
    fields = [(b"accept", b"*"), (name.replace(b"-", spelled), b"127.0.0.1")]
    assert fields_of_stranger(fields, _NONE) == ((b"accept", b"*"),)
    assert fields_of_peer(fields, _covered(fields), _NONE) == ((b"accept", b"*"),)


@pytest.mark.parametrize("name", [b"x-ptl-client-id", b"x_ptl_client_id", b"remote.user"])
def test_nobody_is_trusted_with_an_identity_field_not_even_a_peer(name: bytes) -> None:
    fields = [(name, b"evil"), (b"accept", b"*")]
    reserved = frozenset({b"remote-user"})
    assert fields_of_stranger(fields, reserved) == ((b"accept", b"*"),)
    assert fields_of_peer(fields, _covered(fields), reserved) == ((b"accept", b"*"),)


def test_a_strangers_own_signature_passes_untouched() -> None:
    fields = [(b"signature", b"a=:AAAA:"), (b"signature-input", b"a=()"), (b"content-digest", b"x")]
    assert fields_of_stranger(fields, _NONE) == tuple(fields)


def test_the_connection_of_a_stranger_ends_here() -> None:
    fields = [(b"connection", b"x-a"), (b"x-a", b"1"), (b"host", b"h"), (b"x-b", b"2")]
    assert fields_of_stranger(fields, _NONE) == ((b"x-b", b"2"),)


def test_of_a_peers_fields_only_the_covered_ones_pass() -> None:
    fields = [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"), (b"host", b"h")]
    covered = (Component("@path"), Component("x-a", (("bs", True),)), Component("host"))
    assert fields_of_peer(fields, covered, _NONE) == ((b"x-a", b"1"), (b"x-a", b"3"))


def test_a_call_carries_what_an_app_may_say_under_names_that_travel() -> None:
    fields = [
        (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"host", b"h"), (b"content-length", b"1"),
        (b"via", b"x"), (b"x-ptl-client-id", b"evil"), (b"portal-token", b"secret"),
        (b"signature", b"apps"), (b"accept", b"a"), (b"accept", b"b"),
    ]  # fmt: skip
    kept = [(b"portal-app-signature", b"apps"), (b"accept", b"a"), (b"accept", b"b")]
    assert fields_of_call(fields) == kept
    with pytest.raises(Refusal) as refused:
        fields_of_call([(b"portal-seal", b"x")])
    assert refused.value.code is Code.BAD_FIELD


def test_an_identity_field_cannot_hide_behind_a_travelling_name() -> None:
    fields = [(b"portal-app-signature", b"apps"), (b"signature", b"ours"), (b"portal-key", b"k")]
    assert fields_of_peer(fields, _covered(fields), _NONE) == ((b"signature", b"apps"),)
    assert fields_of_peer(fields, _covered(fields), frozenset({b"signature"})) == ()


def test_we_say_who_is_calling_and_what_the_app_json_asks_for() -> None:
    caller = Caller("peer", ADAS, "Ad\xe4\r\nx: y")
    headers = (("Remote-User", Template.parse("{{ portal.short_id }}/{{ auth.client_id[:6] }}")),)
    rule = Rule(b"", Access.PEER, headers)
    assert fields_from_us(rule, caller, _PORTAL) == [
        (b"x-ptl-client-type", b"peer"),
        (b"x-ptl-client-id", ADAS.encode()),
        (b"x-ptl-client-name", b"Ad%C3%A4%0D%0Ax: y"),
        (b"remote-user", f"{BOBS[:6]}/{ADAS[:6]}".encode()),
    ]


def test_a_field_of_the_app_json_replaces_ours() -> None:
    rule = Rule(b"", Access.PUBLIC, (("X-PTL-Client-Name", Template.parse("nobody")),))
    assert fields_from_us(rule, ANONYMOUS, _PORTAL) == [
        (b"x-ptl-client-type", b"anonymous"),
        (b"x-ptl-client-id", b""),
        (b"x-ptl-client-name", b"nobody"),
    ]


_SENT = [
    (b"accept", b"*"), (b"script_name", b"/a"), (b"my_field", b"1"), (b"path-info", b"/b"),
    (b"x-mine", b"2"), (b"x.mine", b"3"), (b"x-http-method-override", b"DELETE"),
    (b"my_field", b"4"), (b"x-script.name", b"/c"),
]  # fmt: skip


def test_what_could_be_taken_for_another_request_is_kept_from_every_app() -> None:
    kept, dropped = fields_for_app(_SENT, DEFAULT_POLICY)
    assert kept == [_SENT[0], *_SENT[4:7]]
    assert dropped == [b"script_name", b"my_field", b"path-info", b"my_field", b"x-script.name"]
    assert fields_for_app(kept, DEFAULT_POLICY) == (kept, ())


def test_underscores_pass_where_the_owner_says_so_and_override_fields_dont() -> None:
    kept, dropped = fields_for_app(_SENT, FieldPolicy(underscores=True))
    assert kept == [_SENT[0], _SENT[2], *_SENT[4:8]]
    assert dropped == [b"script_name", b"path-info", b"x-script.name"]


@pytest.mark.parametrize("underscores", [False, True])
def test_the_owner_drops_further_names_in_every_spelling(*, underscores: bool) -> None:
    policy = FieldPolicy(underscores, frozenset({b"x-mine", b"my-field"}))
    assert fields_for_app(_SENT, policy)[0] == [_SENT[0], _SENT[6]]


def test_what_the_app_json_sets_passes_whatever_its_name() -> None:
    headers = (("SCRIPT_NAME", Template.parse("/box")), ("X-Mine_Too", Template.parse("1")))
    ours = fields_from_us(Rule(b"", Access.PUBLIC, headers), ANONYMOUS, _PORTAL)
    assert ours[-2:] == [(b"script_name", b"/box"), (b"x-mine_too", b"1")]
