"""Which pages' requests count as the terminal's: each forged row has its harmless twin."""

import pytest

from proxy.core.http.headers import Field
from proxy.core.http.origin import parse_origin
from proxy.core.terminals.request_origin import is_same_portal_request

PORTAL = parse_origin("https://8271dd.p.example")
OWN = PORTAL.of_app("files")
SIBLING = b"https://b8rk3f.p.example"
"""Another Portal of the same domain: the same site, to a browser."""

Row = tuple[bytes, str]


def fields(text: str) -> list[Field]:
    """Return the fields that a row writes as ``name=value name=value``."""
    names = {"site": "sec-fetch-site", "mode": "sec-fetch-mode", "dest": "sec-fetch-dest"}
    pairs = (word.split("=", 1) for word in text.split())
    return [(names.get(name, name).encode(), value.encode()) for name, value in pairs]


def carries(method: bytes, text: str, *, is_websocket: bool = False) -> bool:
    return is_same_portal_request(method, is_websocket, fields(text), OWN, PORTAL)


OWN_PAGES = [
    (b"GET", "site=same-origin mode=cors dest=empty"),
    (b"GET", "site=same-origin mode=no-cors dest=script"),
    (b"GET", "site=same-origin mode=navigate dest=iframe"),
    (b"GET", "site=same-origin mode=cors dest=manifest"),  # crossorigin="use-credentials"
    (b"GET", "site=none mode=navigate dest=document"),
    (b"POST", "site=none mode=navigate dest=document"),  # typed, and reloaded
    (b"POST", "origin=https://files.8271dd.p.example site=same-origin mode=cors dest=empty"),
    (b"POST", "origin=https://files.8271dd.p.example"),
    (b"POST", "origin=https://8271dd.p.example site=same-site mode=cors dest=empty"),
    (b"POST", "origin=null site=same-origin mode=navigate dest=document"),  # no-referrer, a form
    (b"GET", "site=same-site mode=no-cors referer=https://8271dd.p.example/"),
    (b"GET", "site=same-site mode=navigate dest=iframe referer=https://8271dd.p.example"),
    (b"PUT", "referer=https://files.8271dd.p.example/a/b?c"),
    (b"DELETE", ""),  # no browser
    (b"GET", ""),
]

FOREIGN_PAGES = [
    (b"GET", "site=same-site mode=cors dest=empty"),
    (b"GET", "site=same-site mode=no-cors dest=script"),
    (b"GET", "site=cross-site mode=no-cors dest=image"),
    (b"GET", "site=same-site mode=navigate dest=iframe"),
    (b"GET", "site=cross-site mode=navigate dest=object"),
    (b"GET", "site=cross-site mode=no-cors dest=document"),
    (b"POST", "site=cross-site mode=navigate dest=document"),
    (b"POST", "origin=https://b8rk3f.p.example site=same-site mode=navigate dest=document"),
    (b"POST", "origin=https://b8rk3f.p.example"),
    (b"POST", "origin=https://other.8271dd.p.example site=same-site mode=cors"),  # another app
    (b"POST", "origin=null site=cross-site mode=navigate dest=document"),  # a sandbox
    (b"POST", "origin=null site=same-site mode=navigate dest=document"),
    (b"POST", "origin=null"),
    (b"GET", "origin=null site=cross-site mode=cors dest=empty"),
    (b"GET", "origin=https://evil.example"),
    (b"POST", "origin=http://files.8271dd.p.example"),  # another scheme
    (b"POST", "origin=https://files.8271dd.p.example:8443"),  # another port
    (b"POST", "origin=https://files.8271dd.p.example.evil.example"),
    (b"POST", "origin=https://FILES.8271dd.p.example"),  # as no browser writes it
    (b"POST", "origin=https://files.8271dd.p.example origin=https://evil.example"),
    (b"GET", "site=same-origin site=cross-site mode=cors"),
    (b"GET", "site=new mode=cors"),
    (b"GET", "site=same-site mode=no-cors referer=https://b8rk3f.p.example/"),
    (b"GET", "site=same-site mode=no-cors referer=https://8271dd.p.example.evil.example/"),
    (b"GET", "site=same-site mode=no-cors referer=https://8271dd.p.example@evil.example/"),
    (b"GET", "site=same-site referer=https://8271dd.p.example/ referer=https://evil.example/"),
    # An image of another page, which sent our own page's request on to here.
    (b"GET", "site=same-site mode=no-cors dest=image referer=https://files.8271dd.p.example/"),
    (b"GET", "site=cross-site mode=navigate dest=iframe referer=https://files.8271dd.p.example/"),
    (b"POST", "referer=https://b8rk3f.p.example/"),
    (b"POST", "referer=https://b8rk3f.p.example/https://files.8271dd.p.example/"),
    (b"POST", "referer=https:"),
    (b"POST", "referer=about:blank"),
]


@pytest.mark.parametrize(("method", "text"), OWN_PAGES)
def test_what_our_own_pages_and_programs_ask_for_is_the_terminals(method: bytes, text: str) -> None:
    assert carries(method, text)


@pytest.mark.parametrize(("method", "text"), FOREIGN_PAGES)
def test_what_another_page_asks_for_is_a_strangers(method: bytes, text: str) -> None:
    assert not carries(method, text)


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
@pytest.mark.parametrize("more", ["", " origin=https://evil.example", " origin=null"])
def test_everybody_may_send_a_window_of_ours_somewhere_but_not_with_a_form(
    site: str, more: str
) -> None:
    going = f"site={site} mode=navigate dest=document{more}"
    assert carries(b"GET", going)
    assert carries(b"HEAD", going)
    assert not carries(b"POST", going)
    assert not carries(b"GET", going + " dest=iframe")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("origin=https://files.8271dd.p.example", True),
        ("origin=https://8271dd.p.example", True),
        ("", True),  # no browser
        ("site=same-origin", True),
        ("origin=https://b8rk3f.p.example", False),
        ("origin=https://evil.example", False),
        ("origin=http://files.8271dd.p.example", False),
        ("origin=null", False),
        ("origin=null site=same-origin", False),
        ("origin=", False),
        ("origin=https://files.8271dd.p.example origin=https://evil.example", False),
        ("site=cross-site mode=websocket", False),
        ("site=cross-site referer=https://files.8271dd.p.example/", False),
        ("origin=https://evil.example site=cross-site mode=navigate dest=document", False),
        ("origin=https://evil.example referer=https://files.8271dd.p.example/", False),
    ],
)
def test_a_websocket_is_the_terminals_if_our_own_page_opens_it(
    text: str, *, expected: bool
) -> None:
    assert carries(b"GET", text, is_websocket=True) is expected


def test_a_portal_at_another_port_is_another_origin() -> None:
    portal = parse_origin("http://8271dd.portal.localhost:8080")
    own = portal.of_app("files")
    here: list[Field] = [(b"origin", b"http://files.8271dd.portal.localhost:8080")]
    there: list[Field] = [(b"origin", b"http://files.8271dd.portal.localhost:9080")]
    assert is_same_portal_request(b"POST", is_websocket=False, fields=here, own=own, portal=portal)
    assert not is_same_portal_request(
        b"POST", is_websocket=False, fields=there, own=own, portal=portal
    )


def test_what_has_the_ports_own_number_is_written_without_it() -> None:
    portal = parse_origin("https://8271dd.p.example:443")
    assert is_same_portal_request(
        b"POST",
        is_websocket=False,
        fields=[(b"origin", b"https://8271dd.p.example")],
        own=portal,
        portal=portal,
    )
    assert not is_same_portal_request(
        b"POST", is_websocket=False, fields=[(b"origin", SIBLING)], own=portal, portal=portal
    )
