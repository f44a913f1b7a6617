"""The cookie as it is held, given and given again."""

from dataclasses import replace

import pytest

from proxy.core.http.origin import parse_origin
from proxy.core.terminals.cookie import COOKIE_PLAIN, COOKIE_SECURE
from proxy.core.terminals.session import authenticate, brings_token, cookie_field, renewal
from proxy.core.terminals.terminals import (
    LIFETIME,
    RENEW_AFTER,
    Terminal,
    TerminalList,
    token_digest,
)

HTTPS, HTTP = (
    parse_origin("https://b8rk3f.p.example:8443"),
    parse_origin("http://x.portal.localhost:80"),
)
TOKEN = b"T" * 43
DAY = 20_000 * RENEW_AFTER
PHONE = Terminal("abc234", "Phone", token_digest(TOKEN), DAY, DAY)
LIST = TerminalList((PHONE,))


def _fields(name: bytes, value: bytes = TOKEN) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"cookie", b"a=b; " + name + b"=" + value),)


def test_the_name_of_the_cookie_is_that_of_the_scheme() -> None:
    assert authenticate(_fields(COOKIE_SECURE), LIST, HTTPS, DAY) == PHONE
    assert authenticate(_fields(COOKIE_PLAIN), LIST, HTTP, DAY) == PHONE
    assert authenticate(_fields(COOKIE_PLAIN), LIST, HTTPS, DAY) is None
    assert authenticate(_fields(COOKIE_SECURE), LIST, HTTP, DAY) is None


def test_a_device_with_a_token_for_one_app_has_no_cookie() -> None:
    device = replace(PHONE, app="files")
    fields = _fields(COOKIE_SECURE)
    assert authenticate(fields, TerminalList((device,)), HTTPS, DAY) is None
    assert renewal(fields, TerminalList((device,)), HTTPS, DAY + RENEW_AFTER, 0) is None
    assert renewal(fields, LIST, HTTPS, DAY + RENEW_AFTER, 0) is not None


def test_the_cookie_is_for_this_portal_and_its_apps() -> None:
    name, value = cookie_field(HTTPS, TOKEN)
    first, *attributes = value.split(b"; ")
    assert (name, first) == (b"set-cookie", COOKIE_SECURE + b"=" + TOKEN)
    assert set(attributes) == {
        b"Domain=b8rk3f.p.example", b"Path=/", b"Max-Age=%d" % LIFETIME,
        b"HttpOnly", b"SameSite=Lax", b"Secure",
    }  # fmt: skip
    assert b"Secure" not in cookie_field(HTTP, TOKEN)[1]


def test_where_apps_have_no_hosts_the_cookie_is_for_the_portals_own_alone() -> None:
    _, value = cookie_field(HTTPS, TOKEN, for_apps=False)
    assert set(value.split(b"; ")[1:]) == {
        b"Path=/", b"Max-Age=%d" % LIFETIME, b"HttpOnly", b"SameSite=Lax", b"Secure",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("now", "due"),
    [(DAY, False), (DAY + RENEW_AFTER - 1, False), (DAY + RENEW_AFTER, True), (DAY - 1, True)],
)
def test_the_cookie_is_set_again_once_on_a_day(*, now: int, due: bool) -> None:
    assert renewal(_fields(COOKIE_SECURE), LIST, HTTPS, now, 0) == (
        cookie_field(HTTPS, TOKEN) if due else None
    )
    assert renewal(_fields(COOKIE_SECURE), LIST, HTTPS, now, now) is None


def test_nobody_gets_a_cookie_who_holds_none() -> None:
    now = DAY + 2 * RENEW_AFTER
    assert renewal(_fields(COOKIE_SECURE, b"O" * 43), LIST, HTTPS, now, 0) is None
    assert renewal((), LIST, HTTPS, now, 0) is None
    assert renewal(_fields(COOKIE_SECURE), LIST, HTTPS, DAY + LIFETIME, 0) is None


def test_what_could_be_a_token_is_told_from_what_cant() -> None:
    assert brings_token(_fields(COOKIE_SECURE, b"U" * 43), HTTPS)
    assert not brings_token(_fields(COOKIE_SECURE, b"short"), HTTPS)
    assert not brings_token(_fields(COOKIE_PLAIN), HTTPS)
    assert not brings_token((), HTTPS)
