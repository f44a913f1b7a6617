"""References to URIs: those at a host, and paths without their dot segments (RFC 3986, 5.4)."""

import pytest

from proxy.core.http.origin import Origin
from proxy.core.http.uri_reference import read_uri_at_host, split_path, without_dot_segments


@pytest.mark.parametrize(
    ("reference", "scheme", "host", "port", "rest"),
    [
        (b"http://a.example", "http", "a.example", None, b""),
        (b"HTTPS://A.example:0443/x", "https", "a.example", 443, b"/x"),
        (b"//a.example:?x#y", None, "a.example", None, b"?x#y"),
        (b"http://[::1]:80/", "http", "[::1]", 80, b"/"),
        (b"http://a_b.example/\\\t\xff", "http", "a_b.example", None, b"/\\\t\xff"),
    ],
)
def test_one_at_a_host(
    reference: bytes, scheme: str | None, host: str, port: int | None, rest: bytes
) -> None:
    uri = read_uri_at_host(reference)
    assert uri is not None
    assert (uri.scheme, uri.host, uri.port, uri.rest) == (scheme, host, port, rest)


@pytest.mark.parametrize(
    "reference",
    [
     b"", b"/x", b"http:/a", b"http:///a", b"http://", b"//", b"http://a@b", b"http://a:b",
     b"http://a\\",
     b"http://a:123456", b"http://a;b", b"http://a b", b"http://\xe4", b"http://[::1", b"ftp://a",
     b"http:a", b"http://%61", b" http://a", b"http://" + b"a" * 254],
)  # fmt: skip
def test_anything_else_is_none(reference: bytes) -> None:
    assert read_uri_at_host(reference) is None


@pytest.mark.parametrize(
    ("reference", "is_there"),
    [
        (b"https://a.example:8443", True),
        (b"http://a.example:8443", True),
        (b"https://a.example", True),
        (b"http://a.example:80", True),
        (b"//a.example", True),
        (b"//a.example:80", True),
        (b"//a.example:443", False),
        (b"https://a.example:80", False),
        (b"https://a.example:0", False),
        (b"https://b.a.example:8443", False),
    ],
)
def test_whose_host_it_is(reference: bytes, *, is_there: bool) -> None:
    uri = read_uri_at_host(reference)
    assert uri is not None
    assert uri.is_at(Origin("https", "a.example", 8443)) is is_there


@pytest.mark.parametrize(
    ("path", "without"),
    [
        (b"/a/b/c/./../../g", b"/a/g"),
        (b"/b/c/./../g/.", b"/b/g/"),
        (b"/b/c/..", b"/b/"),
        (b"/../../g", b"/g"),
        (b"/", b"/"),
        (b"//a//..", b"//a/"),
        (b"/a//../b", b"/a/b"),
        (b"/g..;/...", b"/g..;/..."),
        (b"/%2E%2e/%2e/.%2e/x%2e", b"/x%2e"),
        (b"/%252e%252e/%c0%ae", b"/%252e%252e/%c0%ae"),
    ],
)
def test_dot_segments_go(path: bytes, without: bytes) -> None:
    assert without_dot_segments(path) == without


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        (b"/a?b#c", (b"/a", b"?b#c")),
        (b"#c?b", (b"", b"#c?b")),
        (b"a", (b"a", b"")),
        (b"", (b"", b"")),
    ],
)
def test_the_path_ends_at_the_query_or_the_fragment(
    reference: bytes, parts: tuple[bytes, bytes]
) -> None:
    assert split_path(reference) == parts
