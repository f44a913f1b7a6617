"""Request targets: what is refused, and what passes as it came."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.target import (
    MAX_DECODINGS,
    MAX_PATH,
    Target,
    interpretations,
    origin_form,
    parse_target,
)
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
    # backslashes, blanks, control bytes, NUL in every layer
    b"/a\\b", b"/..\\x", b"/a%00", b"/a%2500", b"/%c0%ae%00", b"/a b", b"/a\tb", b"/a\x00",
    b"/a\r\n", b"/a\x7f",
    # escapes that are none
    b"/%", b"/%z", b"/%zz", b"/a%2", b"/%u002e", b"/100%", b"/" + b"%25" * 33,
    # dot segments that only some reader sees
    b"/%c0%ae%c0%ae/x", b"/%e0%80%ae./x", b"/%f0%80%80%ae/", b"/%25c0%25ae", b"/.%80./x",
    b"/%80../x", b"/..%ff", b"/.%C3./x", b"/a%c0%af..", b"/a%5c..%5cx", b"/%5C..", b"/.%0a./x",
    b"/..%0d%0a", b"/.%7f/x", b"/%25u002e%25u002e/x", b"/..%c1%9cx", b"/.%ED%A0%80./x",
    # fragments
    b"/#", b"/x#y", b"/x?y#z", b"/#/../private",
    # queries that no query may be
    b"/x?a b", b"/x?\x00", b"/x?\r\n", b"/x?\x7f",
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
    b"/%ff", b"/a%5cb", b"/%255c", b"/a%0a", b"/a%0d%0ax", b"/a%7f", b"/%c1%9c", b"/%f5%80",
    b"/%c0%afx", b"/a.%80.", b"/\xe4", b"/\xc3\xa4", b"/x?\xe4", b"/x?\xc3\xa4", b"/" + b"%25" * 32,
    b'/"<>^`|', b"/PUBLIC/", b"/http://evil/", b"/@evil",
    b"/" + b"%" + b"25" * (MAX_DECODINGS - 1) + b"41",
]  # fmt: skip


@pytest.mark.parametrize("raw", _REFUSED, ids=repr)
def test_what_some_app_would_read_in_its_own_way_is_refused(raw: bytes) -> None:
    for ascii_only in (True, False):
        with pytest.raises(Refusal) as caught:
            parse_target(raw, ascii_only=ascii_only)
        assert caught.value.code is Code.BAD_TARGET


@pytest.mark.parametrize("raw", _PASSED, ids=repr)
def test_what_honest_clients_send_passes_as_it_came(raw: bytes) -> None:
    path, mark, query = raw.partition(b"?")
    assert parse_target(raw, ascii_only=False) == Target(raw, path, query if mark else None)


@pytest.mark.parametrize("raw", [b"/\xe4", b"/\xc3\xa4", b"/x?\xe4", b"/x?\xc3\xa4"])
def test_in_a_call_bytes_outside_ascii_are_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse_target(raw)
    assert caught.value.code is Code.BAD_TARGET


@pytest.mark.parametrize(
    "raw",
    [
        # alone and behind each other decoding
        b"/%80", b"/%C3", b"/%C3x", b"/%E3%81", b"/%E3%81/%82", b"/%C0%AF", b"/%C1%81",
        b"/%E0%80%AF", b"/%E0%9F%BF", b"/%F0%80%80%AF", b"/%F0%8F%BF%BF", b"/%ED%A0%80",
        b"/%ED%BF%BF", b"/%F4%90%80%80", b"/%F5%80%80%80", b"/%F8%88%80%80%80", b"/%FE", b"/%FF",
        b"/%2580", b"/%252580", b"/%25252580", b"/%25C0%25AF", b"/%25ED%25A0%2580",
        b"/\x80", b"/\xc3x", b"/\xc0\xaf", b"/\xed\xa0\x80", b"/\xf4\x90\x80\x80", b"/\xe4",
        # a character whose bytes meet only after a decoding
        b"/\xc3%A4", b"/%C3%25A4", b"/%25C3\xa4",
        b"/%5C", b"/%255C", b"/%0A", b"/%250A", b"/%0D%0A", b"/%09", b"/%7F", b"/%1B",
        b"/%25u0070rivate", b"/%2525u002fx", b"/%25U0070rivate",
        # dot segments, backslashes and escapes in full-width letters, or with a blank beside them
        b"/\xef\xbc\x8e\xef\xbc\x8e/x", b"/%EF%BC%8E./x", b"/%E2%80%A5/x", b"/..%EF%BC%8Fx",
        b"/x%EF%BC%8F%E2%80%A4", b"/%25EF%25BC%258E%25EF%25BC%258E", b"/a%EF%BC%BCb",
        b"/%EF%BC%852e", b"/..%20/x", b"/.%20./x", b"/%20..", b"/.%20;x",
        b"/.%C2%AD./x", b"/..%E2%80%8B",
    ],
)  # fmt: skip
def test_what_readers_take_for_different_characters_is_ambiguous(raw: bytes) -> None:
    target = parse_target(raw, ascii_only=False)
    assert target.is_ambiguous
    assert interpretations(target) is None


@pytest.mark.parametrize(
    "raw",
    [b"/%C3%A4", b"/\xc3\xa4", b"/%25C3%25A4", b"/%E3%81%82", b"/%F0%9F%98%80", b"/%F4%8F%BF%BF",
     b"/%ED%9F%BF", b"/%EE%80%80", b"/%C2%80", b"/%C2%85", b"/%DF%BF", b"/%E0%A0%80", b"/%EF%BF%BE",
     b"/100%25", b"/%25unknown", b"/%20", b"/%7E", b"/\xc3\xa4;%C3%A4", b"/%E2%80%A6", b"/...%20",
     b"/a%20../x", b"/..%20a", b"/.%C3%A4.", b"/a%EF%BC%8Fb", b"/100%EF%BC%85", b"/%EF%BC%8Ex",
     b"/%E2%80%A5.", b"/%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7"],
)  # fmt: skip
def test_their_harmless_twins_are_not(raw: bytes) -> None:
    assert not parse_target(raw, ascii_only=False).is_ambiguous


@given(st.binary(max_size=30) | st.text("/.%25;?#\\2eEfF0cCab3b", max_size=30).map(str.encode))
def test_whatever_comes_is_parsed_or_refused(raw: bytes) -> None:
    try:
        target = parse_target(raw, ascii_only=False)
    except Refusal:
        return
    assert target.raw == raw
    for path in interpretations(target) or ():
        segments = path.split(b"/")
        assert b".." not in segments
        assert b"." not in segments
        assert b"\\" not in path
        assert b"\x00" not in path
        assert path.startswith(b"/")


def _interpretations(raw: bytes) -> frozenset[bytes]:
    found = interpretations(parse_target(raw))
    assert found is not None
    return found


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
        (b"///host/private", b"/private"),
        (b"/////host//private", b"/private"),
        (b"//user@host:80/private", b"/private"),
        (b"/%2f%2fhost/private", b"/private"),
        (b"/;x//host/private", b"/private"),
        (b"///", b"/"),
        (b"///host", b"/"),
        (b"/private.", b"/private"),
        (b"/private. ./x".replace(b" ", b"%20"), b"/private/x"),
        (b"/private%20", b"/private"),
        (b"/%EF%BD%90rivate", b"/private"),
        (b"/pri%E2%80%8Bv%C3%A0te", b"/private"),
        (b"/%EF%BC%8Fhost%EF%BC%8Fprivate", b"/private"),
        (b"//host/%EF%BD%90rivate", b"/private"),
    ],
)
def test_an_apps_interpretation_is_among_them(path: bytes, interpretation: bytes) -> None:
    assert interpretation in _interpretations(path)


_PATHS = st.lists(
    st.sampled_from(["/", "a", "B", ";", "%2f", "%2F", "%252f", "%3b", "%3f", "%23", "%61",
    "%2561"]),
    max_size=10,
).map(lambda pieces: ("/" + "".join(pieces)).encode())  # fmt: skip


@given(_PATHS)
def test_how_pythons_own_library_reads_a_path_is_among_the_readings(raw: bytes) -> None:
    try:
        target = parse_target(raw)
    except Refusal:
        return
    path, found = target.path, interpretations(target)
    if found is None:  # beyond the bounds
        return
    text = path.decode("ascii")
    split = urllib.parse.urlsplit(text).path or "/"
    parsed = urllib.parse.urlsplit(urllib.parse.unquote(text, "latin-1")).path or "/"
    for expected in (text, urllib.parse.unquote(text, "latin-1"), split, parsed):
        assert expected.encode("latin-1") in found
    assert urllib.parse.unquote(split, "latin-1").encode("latin-1") in found


def test_readings_of_a_plain_path_are_itself_alone() -> None:
    assert _interpretations(b"/peer/inbox") == {b"/peer/inbox"}


def test_a_path_is_as_long_as_it_may_be_and_no_longer() -> None:
    assert len(_interpretations(b"/".ljust(MAX_PATH, b"x"))) == 1
    with pytest.raises(Refusal) as caught:
        parse_target(b"/".ljust(MAX_PATH + 1, b"x"))
    assert caught.value.code is Code.TARGET_TOO_LONG


@pytest.mark.parametrize(
    ("method", "target", "host", "expected"),
    [
        (b"GET", b"/x?y", b"a.example", b"/x?y"),
        (b"GET", b"http://a.example/x%2Fy?z=%E4", b"a.example", b"/x%2Fy?z=%E4"),
        (b"GET", b"HTTPS://A.example:8443/x", b"a.example:8443", b"/x"),
        (b"GET", b"http://a.example", b"a.example", b"/"),
        (b"GET", b"http://a.example?x", b"a.example", b"/?x"),
        (b"GET", b"http://a.example/x?http://b/", b"a.example", b"/x?http://b/"),
        (b"OPTIONS", b"http://a.example", b"a.example", b"*"),
        (b"OPTIONS", b"http://a.example/", b"a.example", b"/"),
        (b"GET", b"http://a.example#x", b"a.example", b"/#x"),  # which parse_target refuses
        (b"GET", b"ftp://a.example/", b"a.example", b"ftp://a.example/"),
        (b"GET", b"http:/x", b"a.example", b"http:/x"),
        (b"GET", b"x", b"a.example", b"x"),
        (b"OPTIONS", b"*", b"a.example", b"*"),
    ],
)
def test_an_absolute_form_of_the_host_is_the_same_request(
    method: bytes, target: bytes, host: bytes, expected: bytes
) -> None:
    assert origin_form(method, target, host) == expected


@pytest.mark.parametrize(
    "target",
    [b"http://b.example/x", b"http://a.example:80/", b"http://user@a.example/", b"http:///x",
     b"http://a.example\\x/", b"http://a.example./"],
)  # fmt: skip
def test_an_absolute_form_of_another_host_is_misdirected(target: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        origin_form(b"GET", target, b"a.example")
    assert caught.value.code is Code.MISDIRECTED
