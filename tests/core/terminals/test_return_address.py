"""Where a browser lands that has paired: at this Portal, wherever the address says it should."""

from urllib.parse import quote

import pytest

from proxy.core.access.target import parse_target
from proxy.core.http.origin import parse_origin
from proxy.core.terminals.return_address import (
    LONGEST,
    is_navigation,
    pairing_address,
    return_address_of,
    safe_return_address,
)

PORTAL = parse_origin("https://b8rk3f.p.example:8443")
APP = "https://notes.b8rk3f.p.example:8443"
_HTML = (b"accept", b"text/html,application/xhtml+xml")


@pytest.mark.parametrize(
    ("to", "return_address"),
    [
        (f"{APP}/a/b?c=d&e", f"{APP}/a/b?c=d&e"),
        (APP, f"{APP}/"),
        (f"{PORTAL}/", f"{PORTAL}/"),
        (APP.upper() + "/Path", f"{APP}/Path".replace("HTTPS", "https")),
        (f"{APP}//evil.example/", f"{APP}//evil.example/"),
        (f"{APP}/\\evil.example", f"{APP}/\\evil.example"),
    ],
)
def test_our_own_addresses_are_safe(to: str, return_address: str) -> None:
    to = to.replace("HTTPS", "https")
    assert safe_return_address(to, PORTAL) == return_address
    assert (
        return_address_of(parse_target(f"/p?to={quote(to, safe='')}".encode()), PORTAL)
        == return_address
    )


@pytest.mark.parametrize(
    "to",
    [
        "",
        "/a",
        "//evil.example/",
        "https://evil.example/",
        "https://evil.example:8443/",
        "http://notes.b8rk3f.p.example:8443/",
        "https://notes.b8rk3f.p.example/",
        "https://notes.b8rk3f.p.example:8443.evil.example/",
        "https://b8rk3f.p.example:8443@evil.example/",
        "https://notes.b8rk3f.p.example:8443\\@evil.example/",
        "https:\\\\evil.example/",
        "https:/evil.example/",
        "https:evil.example/",
        "https:///evil.example/",
        "https://evil.example\\.b8rk3f.p.example:8443/",
        "https://evil.example/.b8rk3f.p.example:8443/",
        "https://evil.example?.b8rk3f.p.example:8443/",
        "https://evil.example#.b8rk3f.p.example:8443/",
        "https://evilb8rk3f.p.example:8443/",
        "https://8271dd.p.example:8443/",
        "https://notes.8271dd.p.example:8443/",
        "https://p.example:8443/",
        "https://a.b.b8rk3f.p.example:8443/",
        "https://-.b8rk3f.p.example:8443/",
        "https://.b8rk3f.p.example:8443/",
        "https://notes.b8rk3f.p.example:8443?x",
        "javascript:alert(1)",
        "javascript://notes.b8rk3f.p.example:8443/%0aalert(1)",
        "data:text/html,x",
        f"{APP}/\r\nset-cookie: a=b",
        f"{APP}/\t",
        f" {APP}/",
        f"{APP}/ ",
        f"\x00{APP}/",
        f"{APP}/\xe9",
        "https://notes.b8rk3f.p.example\u3002evil.example:8443/",
        f"{APP}/" + "x" * LONGEST,
    ],
)
def test_nobody_elses_address_is(to: str) -> None:
    assert safe_return_address(to, PORTAL) is None
    assert return_address_of(parse_target(f"/p?to={quote(to, safe='')}".encode()), PORTAL) is None


@pytest.mark.parametrize("query", ["", "?", "?to", "?tot=x", "?to=%ff%fe", "?" + "&a=b" * 1000])
def test_an_address_that_says_nothing_of_use_leads_nowhere(query: str) -> None:
    assert return_address_of(parse_target(f"/p{query}".encode()), PORTAL) is None


@pytest.mark.parametrize("target", ["/", "/a%2Fb?c=%26&d=1", "/?to=https://evil.example/&x#"[:-1]])
def test_the_address_of_the_page_leads_back_to_what_was_asked_for(target: str) -> None:
    address = pairing_address(PORTAL, "notes", parse_target(target.encode()))
    start, _, query = address.partition("?")
    assert start == f"{PORTAL}/core/public/pair"
    assert return_address_of(parse_target(f"/p?{query}".encode()), PORTAL) == APP + target


def test_bytes_outside_ascii_are_escaped_in_an_address() -> None:
    target = parse_target(b"/\xc3\xa4?b=\xe4%2F", ascii_only=False)
    address = pairing_address(PORTAL, "notes", target)
    asked = parse_target(address[len(str(PORTAL)) :].encode())
    assert return_address_of(asked, PORTAL) == f"{APP}/%C3%A4?b=%E4%2F"
    odd = parse_target(b"/core/public/pair?to=\xe4", ascii_only=False)
    assert return_address_of(odd, PORTAL) is None


def test_behind_a_long_target_only_the_app_is_remembered() -> None:
    target = parse_target(b"/?" + b"%20" * LONGEST)
    address = pairing_address(PORTAL, "notes", target)
    assert (
        return_address_of(parse_target(address[len(str(PORTAL)) :].encode()), PORTAL) == f"{APP}/"
    )


@pytest.mark.parametrize(
    ("expected", "method", "fields"),
    [
        (True, b"GET", (_HTML,)),
        (True, b"GET", (_HTML, (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))),
        (False, b"GET", ()),
        (False, b"GET", ((b"accept", b"*/*"),)),
        (False, b"POST", (_HTML,)),
        (False, b"HEAD", (_HTML,)),
        (False, b"GET", (_HTML, (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe"))),
        (False, b"GET", (_HTML, (b"sec-fetch-mode", b"cors"), (b"sec-fetch-dest", b"empty"))),
    ],
)
def test_only_a_window_of_its_own_is_sent_elsewhere(
    *, expected: bool, method: bytes, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert is_navigation(method, fields) is expected


def test_where_apps_have_no_hosts_no_address_below_ours_is_safe() -> None:
    assert safe_return_address(f"{APP}/", PORTAL, to_apps=False) is None
    assert safe_return_address(f"{PORTAL}/a", PORTAL, to_apps=False) == f"{PORTAL}/a"
    target = parse_target(f"/p?to={quote(APP, safe='')}".encode())
    assert return_address_of(target, PORTAL, to_apps=False) is None
