"""What of an app's response goes on, and by which hosts its cookies are judged."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.access.target import parse_target
from proxy.core.gate import Admission, Request
from proxy.core.http.headers import values_of
from proxy.core.http.origin import Origin
from proxy.inbound.app_response import AppResponses
from proxy.inbound.dropped_names import DroppedNamesLog

_OWN = (b"site.ada.example",)
_TERMINAL = Caller("terminal", "t1")


@pytest.fixture
def responses() -> AppResponses:
    hosts = Hosts(Origin("https", "ada.example", 443), ("alias.example",))
    return AppResponses(cast(Any, SimpleNamespace(hosts=hosts)), DroppedNamesLog())


def _request(host: bytes = b"site.ada.example", seal: bytes | None = None) -> Request:
    return Request(b"GET", b"/", ((b"host", host),), seal)


def _admission(caller: Caller) -> Admission:
    return Admission(caller, "site", None, parse_target(b"/"), (), None, {})


@pytest.mark.parametrize(
    ("asked", "told", "own"),
    [
        (b"Site.Ada.Example.", b"", {b"site.ada.example"}),
        (b"site.ada.example:443", b"", {b"site.ada.example"}),
        (b"site.alias.example", b"", {b"site.ada.example", b"site.alias.example"}),
        (b"site.ada.example", b"site.alias.example:8443", {*_OWN, b"site.alias.example"}),
        (b"site.ada.example", b"other.alias.example", {*_OWN}),
        (b"site.ada.example", b"evil.example", {*_OWN}),
    ],
)
def test_an_app_is_known_by_the_hosts_that_lead_to_it(
    responses: AppResponses, asked: bytes, told: bytes, own: set[bytes]
) -> None:
    chain = cast(Any, SimpleNamespace(host=told))
    assert set(responses.own_hosts(_request(asked), "site", chain)) == own


@pytest.mark.parametrize(
    ("caller", "kept"), [(ANONYMOUS, b"public, max-age=60"), (_TERMINAL, b"max-age=60, private")]
)
def test_what_somebody_known_got_is_for_no_shared_cache(
    responses: AppResponses, caller: Caller, kept: bytes
) -> None:
    from_app = ((b"cache-control", b"public, max-age=60"),)
    passing = responses.passing(_request(), _admission(caller), 200, from_app, _OWN)
    assert values_of(passing, b"cache-control") == [kept]


def test_what_is_signed_tells_shared_caches_nothing(responses: AppResponses) -> None:
    """Those on the way: under its travelling name a field reaches the app that called."""
    told = (b"surrogate-control", b"acme-cache-control", b"x-a")
    from_app = tuple((name, b"1") for name in told)
    signed = responses.to_sign(_request(), _admission(Caller("peer", "p1")), 200, from_app, _OWN)
    assert signed == ((b"portal-app-surrogate-control", b"1"), (b"x-a", b"1"))


def test_a_cookie_for_other_apps_stays_here_and_the_owner_is_told(
    responses: AppResponses, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    mine, beyond = b"a=1; Domain=site.ada.example", b"b=2; Domain=ada.example"
    from_app = ((b"set-cookie", mine), (b"set-cookie", beyond))
    for _ in range(2):
        passing = responses.passing(_request(), _admission(ANONYMOUS), 200, from_app, _OWN)
        assert values_of(passing, b"set-cookie") == [mine]
    assert caplog.text.count("its cookie b isn't handed on") == 1
