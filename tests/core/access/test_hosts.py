"""Which host is ours: by Host alone, in any case, and nothing that only resembles it."""

import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.hosts import Hosts
from proxy.core.errors import Code, Refusal
from proxy.core.http.origin import is_dns_label, parse_origin

_HOSTS = Hosts(
    parse_origin("https://8271dd.p.example:8443"), ("alias.example", "tunnel.example:9000")
)
_PLAIN = Hosts(parse_origin("http://8271dd.p.example"))


@pytest.mark.parametrize(
    ("hosts", "host", "app"),
    [
        (_HOSTS, b"8271dd.p.example:8443", None),
        (_HOSTS, b"8271dd.p.example", None),
        (_HOSTS, b"8271DD.P.Example:8443", None),
        (_HOSTS, b"guestbook.8271dd.p.example:8443", "guestbook"),
        (_HOSTS, b"GuestBook.8271dd.p.example", "guestbook"),
        (_HOSTS, b"a-1.8271dd.p.example", "a-1"),
        (_HOSTS, b"alias.example", None),
        (_HOSTS, b"alias.example:1", None),
        (_HOSTS, b"guestbook.alias.example:65535", "guestbook"),
        (_HOSTS, b"guestbook.tunnel.example:9000", "guestbook"),
        (_PLAIN, b"8271dd.p.example:80", None),
        (Hosts(parse_origin("http://[::1]:80")), b"[::1]", None),
    ],
)
def test_a_host_of_ours_is_found(hosts: Hosts, host: bytes, app: str | None) -> None:
    assert hosts.locate(host) == app


@pytest.mark.parametrize(
    "host",
    [
        b"", b" ", b"evil.example", b"p.example", b"example", b"8271dd.p.example.",
        b"x8271dd.p.example",
        b"8271dd.p.example:443", b"8271dd.p.example:08443", b"8271dd.p.example:",
        b"8271dd.p.example:x",
        b"8271dd.p.example:8443:8443", b"a.b.8271dd.p.example", b".8271dd.p.example",
        b"-.8271dd.p.example",
        b"a_b.8271dd.p.example", b"8271dd.p.example/public?x=", b"guestbook@8271dd.p.example",
        b"guestbook.8271dd.p.example@evil.example", b"a b.8271dd.p.example", b" 8271dd.p.example",
        b"8271dd.p.example#", b"8271dd.p.example.evil.example", b"tunnel.example",
        b"tunnel.example:9001",
        b"\xe4.8271dd.p.example", b"8271dd.p.example\x00", b"127.0.0.1", b"[::1]", b"localhost",
        b"a%2e.8271dd.p.example", b"8271dd.p.example, evil.example",
        b"a" * 64 + b".8271dd.p.example",
    ],
)  # fmt: skip
def test_any_other_host_is_misdirected(host: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        _HOSTS.locate(host)
    assert caught.value.code is Code.MISDIRECTED


@given(st.binary(max_size=12))
def test_whatever_is_before_our_host_is_an_apps_name_or_refused(before: bytes) -> None:
    try:
        app = _HOSTS.locate(before + b"8271dd.p.example")
    except Refusal:
        return
    assert (app is None) == (before == b"")
    assert app is None or is_dns_label(app)


@pytest.mark.parametrize("alias", ["", "http://a", "a/b", "a:b", "a b", "a:", "\xe4"])
def test_an_alias_of_another_form_is_an_error(alias: str) -> None:
    with pytest.raises(ValueError, match=r"isn't of the form|ascii"):
        Hosts(parse_origin("http://a.example"), (alias,))


def test_what_was_located_is_remembered_of_a_few_hosts_alone_and_never_of_a_refused_one() -> None:
    hosts = Hosts(parse_origin("https://p.example"))
    for number in range(2000):
        assert hosts.locate(b"a%d.p.example" % number) == f"a{number}"
    assert sys.getsizeof(hosts._located) < 32 * 1024
    for _ in range(2):
        assert hosts.locate(b"p.example") is None
        with pytest.raises(Refusal):
            hosts.locate(b"other.example")


@pytest.mark.parametrize("host", [b"guestbook.8271dd.p.example", b"guestbook.alias.example:1"])
def test_where_apps_have_no_hosts_only_an_envelope_names_one(host: bytes) -> None:
    one_name = replace(_HOSTS, of_apps=False)
    assert one_name.locate(host) == "guestbook"
    assert one_name.locate(b"8271dd.p.example") is None
    one_name.refuse_app(b"8271dd.p.example", None)
    _HOSTS.refuse_app(host, "guestbook")
    with pytest.raises(Refusal) as caught:
        one_name.refuse_app(host, "guestbook")
    assert caught.value.code is Code.MISDIRECTED
