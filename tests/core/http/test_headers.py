"""Header fields: whose they are, in every spelling that an app server could take for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import (
    RENAMED,
    RESTORED,
    Field,
    connection_options,
    end_to_end,
    is_ours,
    refuse_malformed,
    renamed_for_travel,
    restored_after_travel,
    spelling,
    values_of,
    without_identity,
)

_IDENTITY = [
    b"x-ptl-client-id", b"X-Ptl-Client-Id", b"x_ptl_client_id", b"X_PTL_CLIENT_ID",
    b"x.ptl.client.id", b"X.Ptl.Client.Id", b"x-ptl_client.id", b"x!ptl~client|id",
    b"x-ptl-", b"x_ptl_anything", b"x-ptl-client-type", b"x-ptl-client-name",
]  # fmt: skip
_HARMLESS = [b"x-ptl", b"ptl-client-id", b"xptl-client-id", b"x-ptlient", b"xx-ptl-client-id",
             b"y-ptl-client-id", b"cookie", b"authorization"]  # fmt: skip


@pytest.mark.parametrize("name", _IDENTITY)
def test_identity_fields_are_removed_in_any_spelling(name: bytes) -> None:
    assert without_identity([(b"accept", b"*"), (name, b"evil"), (name, b"x")]) == [
        (b"accept", b"*")
    ]


@pytest.mark.parametrize("name", _HARMLESS)
def test_names_that_only_resemble_them_stay(name: bytes) -> None:
    assert without_identity([(name, b"1")]) == [(name, b"1")]


@pytest.mark.parametrize("name", [b"remote-user", b"Remote_User", b"remote.user", b"REMOTE-USER"])
def test_names_that_the_app_json_sets_are_removed_in_any_spelling(name: bytes) -> None:
    assert without_identity([(name, b"evil")], frozenset({b"remote-user"})) == []
    assert without_identity([(name, b"1")]) == [(name, b"1")]


@given(st.binary(min_size=1, max_size=20))
def test_a_spelling_is_its_own_spelling(name: bytes) -> None:
    assert spelling(spelling(name)) == spelling(name)
    assert spelling(name.upper()) == spelling(name)
    assert len(spelling(name)) == len(name)


@pytest.mark.parametrize(
    "name",
    [
        b"portal-key", b"portal-to", b"portal-seal", b"portal-token", b"portal-refusal",
        b"portal-peer-refusal", b"Portal_Peer.Refusal",
        b"portal-app-signature", b"portal-app-signature-input", b"portal-app-content-digest",
        b"Portal-Key", b"portal_key", b"PORTAL.TO",
    ],
)  # fmt: skip
def test_our_fields_are_refused_from_an_app_and_dropped_at_the_peer(name: bytes) -> None:
    assert is_ours(name)
    with pytest.raises(Refusal) as caught:
        renamed_for_travel([(b"accept", b"*"), (name, b"x")])
    assert caught.value.code is Code.BAD_FIELD
    if name not in RESTORED:
        assert restored_after_travel([(name, b"x"), (b"accept", b"*")]) == [(b"accept", b"*")]


@pytest.mark.parametrize("name", [b"portal", b"portal-keys", b"x-portal-key", b"signature"])
def test_others_are_not_ours(name: bytes) -> None:
    assert not is_ours(name)


_PAIRS = st.lists(
    st.tuples(
        st.sampled_from([*RENAMED, b"accept", b"x-a", b"signature_input"]), st.binary(max_size=5)
    ),
    max_size=8,
)


@given(_PAIRS)
def test_what_is_renamed_is_restored_exactly(fields: list[Field]) -> None:
    travelling = renamed_for_travel(fields)
    assert restored_after_travel(travelling) == fields
    assert not {name for name, _ in travelling} & set(RENAMED)


@given(_PAIRS)
def test_a_signature_of_ours_is_never_restored_as_the_apps(fields: list[Field]) -> None:
    restored = restored_after_travel(fields)
    assert restored == [(name, value) for name, value in fields if name not in RENAMED]


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([], set()),
        ([b""], set()),
        ([b"close"], {b"close"}),
        ([b" Close ,, X-Ptl-Client-Id\t"], {b"close", b"x-ptl-client-id"}),
        ([b"a", b"B,c"], {b"a", b"b", b"c"}),
        ([b"\xe4"], {b"\xe4"}),
    ],
)
def test_connection_names_fields_in_any_case(values: list[bytes], options: set[bytes]) -> None:
    assert connection_options([(b"connection", value) for value in values]) == options


@pytest.mark.parametrize("values", [[b"," * 256], [b"a," * 128, b"b," * 128]])
def test_connection_lists_no_more_than_there_can_be_fields(values: list[bytes]) -> None:
    fields = [(b"connection", value) for value in values]
    with pytest.raises(Refusal) as caught:
        refuse_malformed(fields)
    assert caught.value.code is Code.BAD_FIELD
    refuse_malformed([(name, value.replace(b",", b"", 1)) for name, value in fields])


def test_fields_of_one_hop_are_dropped_and_all_others_pass_in_their_order() -> None:
    kept = [(b"accept", b"1"), (b"x-a", b"2"), (b"accept", b"3")]
    hop = [
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-authentication-info", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"http2-settings", b"expect", b"host", b"content-length",
    ]  # fmt: skip
    fields = [kept[0], *((name, b"x") for name in hop), *kept[1:]]
    assert end_to_end(fields) == kept
    named = [(b"connection", b"X-A, Accept")]
    assert end_to_end([*named, *kept, (b"x-b", b"")]) == [(b"x-b", b"")]


@pytest.mark.parametrize(
    "name",
    [b"", b" ", b"x y", b"x:", b"x\x00", b"x\r\n", b"@method", b"\xe4", b'"x"', b"x/y", b"(x)"],
)
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        refuse_malformed([(b"x", b"1"), (name, b"1")])
    assert caught.value.code is Code.BAD_FIELD


@given(st.binary(max_size=8))
def test_a_value_holds_no_control_bytes(value: bytes) -> None:
    if any(byte == 127 or (byte < 32 and byte != 9) for byte in value):
        with pytest.raises(Refusal):
            refuse_malformed([(b"x", value)])
    else:
        refuse_malformed([(b"x", value), (b"!#$%&'*+-.^_`|~a0", value)])


def test_values_are_those_of_every_line() -> None:
    fields = [(b"a", b"1"), (b"b", b"2"), (b"a", b"")]
    assert values_of(fields, b"a") == [b"1", b""]
    assert values_of(fields, b"c") == []
