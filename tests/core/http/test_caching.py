"""What a cache in front may keep: nothing that was somebody's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.caching import (
    NO_STORE,
    is_for_shared_caches,
    kept_from_shared_caches,
    stored_nowhere,
)
from proxy.core.http.headers import Field

_FOR_ALL = [
    b"surrogate-control", b"cdn-cache-control", b"cloudflare-cdn-cache-control",
    b"vercel-cdn-cache-control", b"akamai-cache-control", b"x-litespeed-cache-control",
    b"edge-control", b"x-accel-expires", b"x-litespeed-cache",
]  # fmt: skip


def _control(*values: bytes) -> list[Field]:
    return [(b"etag", b"1"), *((b"cache-control", value) for value in values), (b"x-a", b"2")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"public"], b"private"),
        ([b"public, max-age=60"], b"max-age=60, private"),
        ([b"PUBLIC,Max-Age=60,immutable"], b"Max-Age=60, immutable, private"),
        ([b"s-maxage=60"], b"private"),
        ([b'S-MaxAge="60", max-age=5'], b"max-age=5, private"),
        ([b"max-age=60", b"public"], b"max-age=60, private"),
        ([b"max-age=60"], b"max-age=60, private"),
        ([b"no-cache"], b"no-cache, private"),
        ([b'no-cache="set-cookie", public'], b'no-cache="set-cookie", private'),
        # Of one field alone: a cache may keep the rest.
        ([b'private="set-cookie", max-age=5'], b"private, max-age=5"),
        ([b"private, public"], b"private"),
        ([b"no-store, public"], b"no-store"),
        ([b'x="public, s-maxage=5", max-age=1'], b'x="public, s-maxage=5", max-age=1, private'),
        ([b""], b"private"),
        ([b",, ,"], b"private"),
        ([b"must-revalidate, public"], b"must-revalidate, private"),
        ([b"stale-while-revalidate=60"], b"stale-while-revalidate=60, private"),
        # Each cache reads something else into these.
        ([b"public; max-age=60"], b"no-store"),
        ([b'"public'], b"no-store"),
        ([b'max-age="60'], b"no-store"),
        ([b"max-age=1, max-age=9999"], b"no-store"),
        ([b"max age"], b"no-store"),
        ([b"private\xa0"], b"no-store"),
        # A reader that gave blanks back took seconds for these.
        ([b"public," + b" " * 16_000 + b"@"], b"no-store"),
        ([b"public" + b"\t " * 900 + b"@"], b"no-store"),
        ([b"a=" + b" " * 1900 + b"@"], b"no-store"),
        ([b"," * 16_000], b"no-store"),
        ([b"public" + b" " * 2000 + b", max-age=5"], b"max-age=5, private"),
    ],
)
def test_what_was_somebodys_own_is_private(values: list[bytes], expected: bytes) -> None:
    kept = kept_from_shared_caches(_control(*values))
    assert sorted(kept) == sorted([(b"etag", b"1"), (b"cache-control", expected), (b"x-a", b"2")])


@pytest.mark.parametrize(
    "values",
    [[b"private"], [b"no-store"], [b"Private, max-age=5"], [b"max-age=5", b"private"],
     [b"private, max-age = 5"]],
)  # fmt: skip
def test_what_was_private_stays_as_it_came(values: list[bytes]) -> None:
    assert kept_from_shared_caches(_control(*values)) == _control(*values)


def test_without_a_word_of_the_app_it_is_private() -> None:
    assert kept_from_shared_caches([(b"expires", b"x")]) == [
        (b"expires", b"x"),
        (b"cache-control", b"private"),
    ]


@pytest.mark.parametrize("name", _FOR_ALL)
def test_what_shared_caches_prefer_goes(name: bytes) -> None:
    assert is_for_shared_caches(name)
    assert kept_from_shared_caches([(name, b"max-age=60"), (b"cache-control", b"private")]) == [
        (b"cache-control", b"private")
    ]
    assert stored_nowhere([(name, b"x"), (b"cache-control", b"public"), (b"a", b"b")]) == [
        (b"a", b"b"),
        NO_STORE,
    ]


@pytest.mark.parametrize("name", [b"cache-control", b"expires", b"age", b"vary", b"x-cache"])
def test_what_browsers_read_stays(name: bytes) -> None:
    assert not is_for_shared_caches(name)


@given(st.lists(st.text(alphabet='public,private s-maxage="=;\\', max_size=30), max_size=3))
def test_whatever_it_is_no_shared_cache_keeps_it(values: list[str]) -> None:
    kept = kept_from_shared_caches([(b"cache-control", value.encode()) for value in values])
    parts = [part.strip() for _, value in kept for part in value.lower().split(b",")]
    assert b"private" in parts or b"no-store" in parts
    assert kept_from_shared_caches(kept) == kept
