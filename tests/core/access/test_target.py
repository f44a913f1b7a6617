"""Request targets: what is refused, and what passes as it came."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.target import MAX_DECODINGS, MAX_PATH, Target, interpretations, parse_target
from proxy.core.errors import Code, Refusal

_REFUSED = [
    # target form
    b"", b"*", b"private", b"http://evil/x", b"evil:443", b"PRI", b" /x", b"?x",
    # dot segments, in every dress
    b"/..", b"/.", b"/public/..", b"/public/../x", b"/./x", b"/x/.", b"/../", b"/a/./b",
    b"/public/%2e%2e/x", b"/public/%2E%2e", b"/public/.%2e/x", b"/public/%2e./x", b"/%2e/x",
    b"/public/..%2fx", b"/public%2f..%2fx", b"/public%2F..", b"/%252e%252e/x", b"/%25252e%25252e/",
    b"/public/..;/x", b"/public/..;a=b/x", b"/public/.;/x", b"/public/..%3bx/y", b"/..%3f",
    b"/..%23",
    b"/..;x", b"/%2e%2e;x", b"/..%253b",
    # backslashes, control bytes, other than ASCII
    b"/a\\b", b"/..\\x", b"/a%5cb", b"/%5C..", b"/%255c", b"/a%00", b"/a%2500", b"/a%0a",
    b"/a%0d%0ax",
    b"/a%7f", b"/a b", b"/a\tb", b"/a\x00", b"/a\r\n", b"/\xe4", b"/a\x7f",
    # escapes that are none, overlong or no UTF-8 at all
    b"/%", b"/%z", b"/%zz", b"/a%2", b"/%u002e", b"/100%", b"/%c0%ae%c0%ae/x", b"/%c1%9c",
    b"/%e0%80%ae", b"/%f0%80%80%ae", b"/%f5%80", b"/%ff", b"/%25c0%25ae",
    # fragments
    b"/#", b"/x#y", b"/x?y#z", b"/#/../private",
    # queries that no query may be
    b"/x?a b", b"/x?\xe4", b"/x?\x00", b"/x?\r\n",
    # layer upon layer
    b"/" + b"%" + b"25" * (MAX_DECODINGS + 1) + b"41",
]  # fmt: skip

_PASSED = [
    b"/", b"/x", b"/x/", b"//", b"//x", b"/x//y", b"/a%2Fb?b&c=%E4", b"/x?", b"/x??", b"/x?/../y",
    b"/x?%zz%00\\", b"/x?a=b", b"/x;y=z", b"/;x", b"/..x", b"/x..", b"/...", b"/.x", b"/x.",
    b"/.well-known/portal-identity", b"/a.b/..c/d..", b"/a..;x", b"/%41", b"/%C3%A4", b"/%e4",
    b"/%E4b",
    b"/%3f", b"/%23", b"/%3B", b"/%20", b"/100%25", b"/%2541", b"/~a!$&'()*+,=:@-_", b"/[x]",
    b"/{x}",
    b'/"<>^`|', b"/PUBLIC/", b"/http://evil/", b"/@evil",
    b"/" + b"%" + b"25" * (MAX_DECODINGS - 1) + b"41",
]  # fmt: skip


@pytest.mark.parametrize("raw", _REFUSED, ids=repr)
def test_what_some_app_would_read_in_its_own_way_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse_target(raw)
    assert caught.value.code is Code.BAD_TARGET


@pytest.mark.parametrize("raw", _PASSED, ids=repr)
def test_what_honest_clients_send_passes_as_it_came(raw: bytes) -> None:
    path, mark, query = raw.partition(b"?")
    assert parse_target(raw) == Target(raw, path, query if mark else None)


@given(st.binary(max_size=30) | st.text("/.%25;?#\\2eEfF0cCab3b", max_size=30).map(str.encode))
def test_whatever_comes_is_parsed_or_refused(raw: bytes) -> None:
    try:
        target = parse_target(raw)
    except Refusal:
        return
    assert target.raw == raw
    for path in interpretations(target.path):
        segments = path.split(b"/")
        assert b".." not in segments
        assert b"." not in segments
        assert b"\\" not in path
        assert b"\x00" not in path
        assert path.startswith(b"/")


@pytest.mark.parametrize(
    ("path", "interpretation"),
    [
        (b"/%70rivate", b"/private"),
        (b"/%2570rivate", b"/private"),
        (b"/%252570rivate", b"/private"),
        (b"/a%2fb", b"/a/b"),
        (b"//private", b"/private"),
        (b"/a///b", b"/a/b"),
        (b"/a%2f%2fb", b"/a/b"),
        (b"/private;x", b"/private"),
        (b"/private;x/y;z", b"/private/y"),
        (b"/private%3bx", b"/private"),
        (b"/;x/private", b"/private"),
        (b"/private%3fx", b"/private"),
        (b"/private%23x", b"/private"),
        (b"/private%253fx", b"/private"),
        (b"//host/private", b"/private"),
        (b"//host:80/private/x", b"/private/x"),
        (b"///private", b"/private"),
        (b"//host", b"/"),
        (b"//host//private", b"/private"),
        (b"/%2fhost/private", b"/private"),
        (b"//host/%70rivate", b"/private"),
    ],
)
def test_an_apps_interpretation_is_among_them(path: bytes, interpretation: bytes) -> None:
    assert interpretation in interpretations(parse_target(path).path)


_PATHS = st.lists(
    st.sampled_from(["/", "a", "B", ";", "%2f", "%2F", "%252f", "%3b", "%3f", "%23", "%61",
    "%2561"]),
    max_size=10,
).map(lambda pieces: ("/" + "".join(pieces)).encode())  # fmt: skip


@given(_PATHS)
def test_how_pythons_own_library_reads_a_path_is_among_the_readings(raw: bytes) -> None:
    try:
        path = parse_target(raw).path
    except Refusal:
        return
    found = interpretations(path)
    text = path.decode("ascii")
    split = urllib.parse.urlsplit(text).path or "/"
    parsed = urllib.parse.urlsplit(urllib.parse.unquote(text, "latin-1")).path or "/"
    for expected in (text, urllib.parse.unquote(text, "latin-1"), split, parsed):
        assert expected.encode("latin-1") in found
    assert urllib.parse.unquote(split, "latin-1").encode("latin-1") in found


def test_readings_of_a_plain_path_are_itself_alone() -> None:
    assert interpretations(b"/peer/inbox") == {b"/peer/inbox"}


def test_a_hostile_path_has_few_readings_and_a_long_one_none() -> None:
    layers = [b"%2f", b"%252f", b"%3b", b"%253b", b"%3f", b"%25253b", b"//a", b";x"]
    path = (b"/" + b"".join(layers) * 250).ljust(MAX_PATH, b"x")
    assert len(path) == MAX_PATH
    assert len(interpretations(parse_target(path).path)) < 128
    with pytest.raises(Refusal) as caught:
        parse_target(path + b"x")
    assert caught.value.code is Code.TARGET_TOO_LONG
