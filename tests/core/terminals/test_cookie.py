"""The cookie: which tokens are shown, what of it reaches an app, and who may set it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.terminals import cookie
from proxy.core.terminals.cookie import (
    COOKIE_PLAIN,
    COOKIE_SECURE,
    MOST_LOOKED_AT,
    cookie_name,
    presented,
    set_cookie,
    sets_ours,
    without_cookie,
)

TOKEN = b"t" * 43
OTHER = b"o" * 43
OURS = COOKIE_SECURE + b"=" + TOKEN


def test_the_name_has_its_prefix_where_browsers_know_it() -> None:
    assert (cookie_name(secure=True), cookie_name(secure=False)) == (COOKIE_SECURE, COOKIE_PLAIN)


def test_the_cookie_is_for_the_portal_and_its_apps_and_for_no_script() -> None:
    assert set_cookie(COOKIE_SECURE, TOKEN, "8271dd.p.example", 60) == (
        OURS + b"; Path=/; Domain=8271dd.p.example; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
    )
    plain = set_cookie(COOKIE_PLAIN, TOKEN, "a.localhost", 60)
    assert plain.startswith(b"portal-terminal=")
    assert not plain.endswith(b"Secure")


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ([OURS], [TOKEN]),
        ([b"a=1; " + OURS + b"; b=2"], [TOKEN]),
        ([b"a=1;" + OURS], [TOKEN]),
        ([OURS, COOKIE_SECURE + b"=" + OTHER], [TOKEN, OTHER]),
        ([COOKIE_SECURE + b"=" + OTHER + b"; " + OURS], [OTHER, TOKEN]),  # tossed by a sibling
        ([OURS + b"; " + OURS], [TOKEN]),
        ([b'a="; ' + OURS + b'; b="'], [TOKEN]),
        ([], []),
        ([b"a=1"], []),
        ([COOKIE_PLAIN + b"=" + TOKEN], []),  # over http, by whoever is on the way
        ([COOKIE_SECURE.lower() + b"=" + TOKEN], []),
        ([COOKIE_SECURE], []),
        ([COOKIE_SECURE + b"="], []),
        ([OURS + b"x"], []),
        ([OURS[:-1]], []),
        ([COOKIE_SECURE + b'="' + TOKEN + b'"'], []),
        ([OURS + b"," + OURS], []),
        ([b"x" + OURS], []),
        ([b"x=" + OURS], []),
        ([COOKIE_SECURE + b"=" + b"\xff" * 43], []),
    ],
)
def test_the_tokens_that_stand_under_the_name_are_shown(
    values: list[bytes], tokens: list[bytes]
) -> None:
    fields = [(b"host", b"a"), *((b"cookie", value) for value in values)]
    assert list(presented(fields, COOKIE_SECURE)) == tokens


def test_of_many_tokens_only_the_first_are_looked_at() -> None:
    tokens = [b"%043d" % number for number in range(1000)]
    value = b"; ".join(COOKIE_SECURE + b"=" + token for token in tokens)
    assert list(presented([(b"cookie", value)], COOKIE_SECURE)) == tokens[:MOST_LOOKED_AT]


def test_what_can_be_no_token_takes_no_tokens_place() -> None:
    junk = b"; ".join(COOKIE_SECURE + b"=%d" % number for number in range(20))
    assert presented([(b"cookie", junk + b"; " + OURS)], COOKIE_SECURE) == (TOKEN,)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (OURS, None),
        (COOKIE_PLAIN + b"=x", None),
        (OURS + b"; " + OURS, None),
        (OURS + b";", None),
        (b"a=1; " + OURS, b"a=1"),
        (OURS + b"; a=1", b"a=1"),
        (b"a=1; " + OURS + b";  b=2", b"a=1;  b=2"),
        (b"a=1;" + OURS + b";b", b"a=1;b"),
        (b'a="; ' + OURS + b'; b="', b'a="; b="'),  # the sandwich
        (b"$Version=1; " + OURS + b"; $Path=/", b"$Version=1; $Path=/"),
        (b"__secure-PORTAL-terminal=x; a=1", b"a=1"),
        (b" \t__Secure-portal-terminal = x; a=1", b"a=1"),
        (COOKIE_SECURE + b"; a=1", b"a=1"),
        (b"a=1;b =\x80 2 ;;", b"a=1;b =\x80 2 ;;"),
        (b"portal-terminals=1; x-portal-terminal=2", b"portal-terminals=1; x-portal-terminal=2"),
        (b"a=" + COOKIE_PLAIN + b"=1", b"a=" + COOKIE_PLAIN + b"=1"),
        (b"", b""),
    ],
)
def test_an_app_gets_every_cookie_but_ours(value: bytes, left: bytes | None) -> None:
    around = [(b"a", OURS), (b"cookie", b"z=1")]
    expected = [around[0], *([] if left is None else [(b"cookie", left)]), around[1]]
    assert list(without_cookie([around[0], (b"cookie", value), around[1]])) == expected


@given(st.lists(st.sampled_from([b"a=1", OURS, b'"', b" ", b"", b";", b"portal-terminal"])))
def test_whatever_stands_around_it_no_token_is_left(pieces: list[bytes]) -> None:
    left = without_cookie([(b"cookie", b";".join(pieces))])
    assert all(TOKEN not in value for _, value in left)
    assert without_cookie(left) == left


@pytest.mark.parametrize(
    "value",
    [
        OURS, COOKIE_PLAIN + b"=; Max-Age=0", b" \tportal-terminal =x", b"PORTAL-TERMINAL=x",
        b"=portal-terminal=x", b"portal-terminal", b"= portal-terminal=x; Path=/",
        b"__SECURE-portal-terminal=x; Domain=p.example",
    ],
)  # fmt: skip
def test_a_set_cookie_under_our_name_is_known(value: bytes) -> None:
    assert sets_ours(value)


@pytest.mark.parametrize(
    "value",
    [b"a=1", b"a=portal-terminal=x", b"a=1; portal-terminal=x", b"portal-terminals=1", b"", b"="],
)
def test_a_set_cookie_of_an_apps_own_passes(value: bytes) -> None:
    assert not sets_ours(value)


# --- what many pairs cost, and that they are read as before --------------------------------

_PAIRS = st.lists(
    st.sampled_from(
        ["", ";", ";;", "; ", "=", "a=1", " ", "\t", COOKIE_PLAIN.decode(), COOKIE_SECURE.decode(),
         "Portal-Terminal", "x", "=t", "=" + "t" * 43, "=" + "o" * 43, '"', ","]
    ),
    max_size=14,
).map(lambda pieces: "".join(pieces).encode())  # fmt: skip


def _by_every_pair(value: bytes) -> bytes | None:
    """Take out what is ours pair by pair: slow, and easily seen to be right."""
    ours = (COOKIE_PLAIN, COOKIE_SECURE.lower())
    pairs = value.split(b";")
    kept = [
        pair
        for pair in pairs
        if pair.lstrip(b"= \t").partition(b"=")[0].rstrip(b" \t").lower() not in ours
    ]
    return value if len(kept) == len(pairs) else b";".join(kept).strip(b" \t") or None


@given(_PAIRS)
def test_what_is_left_is_what_a_look_at_every_pair_leaves(value: bytes) -> None:
    left = _by_every_pair(value)
    assert without_cookie([(b"cookie", value)]) == (() if left is None else ((b"cookie", left),))


@given(_PAIRS)
def test_the_tokens_are_those_that_a_look_at_every_pair_finds(value: bytes) -> None:
    found = dict.fromkeys(
        token
        for name, _, token in (pair.strip(b" \t").partition(b"=") for pair in value.split(b";"))
        if name == COOKIE_PLAIN and len(token) == 43 and token.isalnum()
    )
    assert presented([(b"cookie", value)], COOKIE_PLAIN) == tuple(found)[:MOST_LOOKED_AT]


def test_only_pairs_with_our_names_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []

    def note(pair: bytes) -> bool:
        looked.append(pair)
        return False

    monkeypatch.setattr(cookie, "_is_ours", note)
    value = b";" * 60_000 + b" a=1; " + COOKIE_PLAIN + b"=x;" + b";" * 60_000
    assert without_cookie([(b"cookie", value)]) == ((b"cookie", value),)
    assert looked == [b" " + COOKIE_PLAIN + b"=x"]
