"""Origins: read strictly, so that no two readers of the same text connect to two places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.origin import Origin, is_dns_label, parse_connect, parse_origin


@pytest.mark.parametrize(
    ("text", "origin", "authority"),
    [
        ("http://a.example", Origin("http", "a.example", 80), "a.example"),
        ("https://a.example", Origin("https", "a.example", 443), "a.example"),
        ("https://A.Example:443/", Origin("https", "a.example", 443), "a.example"),
        ("HTTP://a:443", Origin("http", "a", 443), "a:443"),
        ("https://a.example:80", Origin("https", "a.example", 80), "a.example:80"),
        ("http://127.0.0.1:65535", Origin("http", "127.0.0.1", 65535), "127.0.0.1:65535"),
        ("http://[FD00::1]:8080", Origin("http", "[fd00::1]", 8080), "[fd00::1]:8080"),
        ("http://my_app-1:9001", Origin("http", "my_app-1", 9001), "my_app-1:9001"),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, origin: Origin, authority: str) -> None:
    parsed = parse_origin(text)
    assert parsed == origin
    assert parsed.authority == authority
    assert str(parsed) == f"{origin.scheme}://{authority}"
    assert parse_origin(str(parsed)) == parsed


def test_an_app_is_a_host_before_its_portals() -> None:
    origin = parse_origin("https://8271dd.p.example:8443")
    assert str(origin.of_app("guestbook")) == "https://guestbook.8271dd.p.example:8443"


@pytest.mark.parametrize(
    "text",
    [
        "", "a.example", "//a.example", "ftp://a.example", "http:a", "http://", "http:///", "http://a.example/x",
        "http://a.example//", "http://a.example?x", "http://a.example#", "http://user@a.example",
        "http://user:pw@a.example", "http://a.example:", "http://a.example:0", "http://a.example:080",
        "http://a.example:65536", "http://a.example:99999", "http://a.example:123456", "http://a.example:x",
        "http://a.example:-1", "http://a..example", "http://.a", "http://a.", "http://a b", " http://a",
        "http://a\n", "http://a.example\\x", "http://a%2e.example", "http://\xe4.example",
        "http://\uff41.example", "http://\u212a.example", "http://[::1", "http://[]", "http://[x]", "http://a,b",
        f"http://{'a' * 64}.example", f"http://{'a.' * 127}aa",
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_told_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"isn't of the form|has a port above"):
        parse_origin(text)


@given(st.text(max_size=30) | st.text("htp:/a.[]@1?#\\", max_size=20).map("http://".__add__))
def test_whatever_is_written_is_one_origin_or_refused(text: str) -> None:
    try:
        origin = parse_origin(text)
    except ValueError:
        return
    assert parse_origin(str(origin)) == origin
    assert 0 < origin.port <= 65535


@pytest.mark.parametrize("text", ["a", "0", "guestbook", "a-b", "a" * 63, "8271dd"])
def test_an_apps_name_is_a_dns_label(text: str) -> None:
    assert is_dns_label(text)


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "A", "a.b", "a_b", "a b", "a" * 64, "\xe4", "a\n", "../a", "."]
)
def test_nothing_else_is(text: str) -> None:
    assert not is_dns_label(text)


@pytest.mark.parametrize("text", ["A.example:80", "127.0.0.1:443", "[::1]:8080", "proxy_1:1"])
def test_where_to_connect_is_a_host_with_its_port_written_out(text: str) -> None:
    assert parse_connect(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:", ":80", "a:0", "a:080", "a:65536", "a:80/", "a@b:80", "http://a:80", "é:1"],
)
def test_anything_else_is_nowhere_to_connect(text: str) -> None:
    with pytest.raises(ValueError, match="isn't of the form host:port"):
        parse_connect(text)
