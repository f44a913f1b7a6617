"""Bodies at real servers: whole or refused, and never another caller's request or response."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import requests

from tests.more.servers.front import app_name
from tests.wire.harness.raw import LOOPBACK, RawConnection, chunked, exchange, request
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.core.access.policy import Mode
    from tests.more.servers.catalogue import Server
    from tests.more.servers.front import Front

pytestmark = pytest.mark.more

_INNER = b"GET /private/secret HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
_AGAIN = 6
_CHUNKED = ("Transfer-Encoding", "chunked")
_PIECES = (b"a first piece, ", b"0\r\n\r\n", b"x" * 70_000, b" and the last")
_HTTP_1_0 = ["wsgiref", "http-server", "bottle", "mini-httpd-cgi"]
_LOSES_CHUNKED = ["http-server-kept"]
_TAKES_CHUNKED = ["gunicorn", "waitress", "uvicorn", "hypercorn", "url", "php"]
_CALENDAR = b"""BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//a//b//EN
BEGIN:VEVENT
UID:one
DTSTAMP:20260101T000000Z
DTSTART:20260101T100000Z
SUMMARY:Dentist
END:VEVENT
END:VCALENDAR
"""


def _is_private(body: bytes) -> bool:
    return b'"private"' in body or b"the secret" in body


# --- a body that nobody reads, and that the server takes for the next request -------------------


@pytest.mark.parametrize(
    ("server", "method", "status"),
    [
        ("http-server-careless", "GET", 200),
        ("http-server-careless", "POST", 200),
        ("http-server-careless", "PUT", 200),
        ("http-server-careless", "DELETE", 200),
        ("webfsd", "GET", 200),
        ("webfsd", "HEAD", 200),
    ],
    indirect=["server"],
)
def test_the_next_caller_never_gets_the_answer_to_a_body(
    front: Front, server: Server, method: str, status: int
) -> None:
    page = "/public/page"
    raw = request(method, page, ("Host", "app.test"), body=_INNER)
    with RawConnection(front.running.port(server)) as wire:  # the server itself: two answers
        wire.send(raw)
        assert wire.read(to_head=method == "HEAD").status == status
        assert _is_private(wire.read().body)
    usual = front.ask(server, "closed", page).body

    for _ in range(_AGAIN):
        host = ("Host", front.host(server, "closed"))
        with RawConnection(front.portal.public) as wire:
            wire.send(request(method, page, host, body=_INNER))
            assert wire.read(to_head=method == "HEAD").status == status
            # The next stranger, an owner's device, a peer, and the same connection once more.
            for fields in ((), (front.phone.cookie,)):
                assert front.ask(server, "closed", page, *fields).body == usual
            call = sign_call(front.cleo, front.portal, app_name(server, "peers"), page.encode())
            signed = exchange(front.portal.public, call.raw)
            assert not _is_private(signed.body), signed
            with suppress(ConnectionError):  # the proxy may have closed it
                wire.send(request("GET", page, host, ("Connection", "close")))
            assert not _is_private(wire.rest())


@pytest.mark.parametrize("server", ["webfsd"], indirect=True)
def test_a_body_that_holds_no_request_does_no_harm(front: Front, server: Server) -> None:
    usual = front.ask(server, "closed", "/public/page").body
    for body in (b"", b"x"):
        assert front.ask(server, "closed", "/public/page", body=body).body == usual
        assert front.ask(server, "closed", "/public/page").body == usual
    # More than it reads at once comes behind its page: where it reads the beginning together with
    # the head, it resets the connection, and there is no page to pass on.
    size = 5000
    raw = request("GET", "/public/page", ("Host", front.host(server, "closed")), body=b"x" * size)
    with RawConnection(front.portal.public) as wire:
        wire.send(raw[:-size])
        assert wire.read().body == usual
        wire.send(raw[-size:])
        assert front.ask(server, "closed", "/public/page").body == usual


# --- chunked, to a server that can't read it -----------------------------------------------------


@pytest.mark.parametrize("server", _HTTP_1_0 + _LOSES_CHUNKED + _TAKES_CHUNKED, indirect=True)
def test_a_strangers_chunked_upload_arrives_whole(front: Front, server: Server) -> None:
    host = ("Host", front.host(server, "closed"))
    target = server.target if server.target.endswith("secret") else "/public/x"

    raw = request("POST", target, host, _CHUNKED) + chunked(*_PIECES)

    for _ in range(2):  # before anything is known of the server, and after
        assert _arrives(server, lambda: exchange(front.portal.public, raw).body)


@pytest.mark.parametrize("server", [*_HTTP_1_0, *_LOSES_CHUNKED, "php"], indirect=True)
@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_a_peers_upload_of_unknown_length_arrives_whole(
    front: Front, server: Server, mode: Mode
) -> None:
    """``requests`` sends what a generator gives in chunks."""

    def sent() -> bytes:
        return _call(front, server, mode, "POST", server.target, iter(_PIECES)).content

    assert _arrives(server, sent)


def _arrives(server: Server, sent: Callable[[], bytes]) -> bool:
    """Tell whether the server answers with the body that it got, whole.

    mini_httpd's process that reads a body and its CGI race each other, without a proxy too: now and
    then either is cut short.
    """
    for _ in range(50 if server.name == "mini-httpd-cgi" else 1):
        got = sent()
        parts = (b"a first piece, ", b"x" * 70_000, b" and the last")
        if all(got.count(part) == 1 for part in parts):
            return True
    return False


@pytest.mark.parametrize("server", ["radicale"], indirect=True)
@pytest.mark.parametrize("who", ["stranger", "signed", "sealed"])
def test_a_chunked_calendar_is_stored_whole(front: Front, server: Server, who: Mode | str) -> None:
    """What other servers would store as an empty file, with 201."""
    path = f"/public/{who}/"
    auth = ("Authorization", "Basic cHVibGljOng=")  # as the user "public", who owns the folder
    host = ("Host", front.host(server, "closed"))
    kind = ("Content-Type", "text/calendar")
    if who == "stranger":
        raw = request("PUT", path, host, auth, kind, _CHUNKED) + chunked(_CALENDAR)
        status = exchange(front.portal.public, raw).status
    else:
        mode: Mode = "signed" if who == "signed" else "sealed"
        headers = dict([auth, kind])
        status = _call(front, server, mode, "PUT", path, iter([_CALENDAR]), headers).status_code

    assert status == 201
    assert b"SUMMARY:Dentist" in front.ask(server, "closed", path, auth).body


def _call(
    front: Front, server: Server, mode: Mode, method: str, target: str, body: Iterator[bytes],
    headers: dict[str, str] | None = None,
) -> requests.Response:  # fmt: skip
    caller, name = front.callers[mode], app_name(server, "peers")
    url = f"http://{LOOPBACK}:{caller.apps}/internal/call_peer/{front.portal.id}{target}"
    with requests.Session() as session:
        session.trust_env = False
        token = {"Portal-Token": caller.token(name)}
        return session.request(method, url, data=body, headers={**token, **(headers or {})})


# --- bodies where none may be --------------------------------------------------------------------

_MANY = 20


@pytest.mark.parametrize(
    "server",
    ["wsgiref", "werkzeug", "waitress", "cheroot", "http-server", "http-server-kept",
     "mini-httpd-cgi"],
    indirect=True,
)  # fmt: skip
def test_an_answer_to_head_is_delivered_whatever_is_behind_it(front: Front, server: Server) -> None:
    _ask_many_times(front, server, "HEAD", server.target, 200)


@pytest.mark.parametrize("server", ["wsgiref", "cheroot", "werkzeug", "http-server",
                                    "http-server-kept", "php"], indirect=True)  # fmt: skip
@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_is_delivered_whatever_is_behind_it(
    front: Front, server: Server, status: int
) -> None:
    _ask_many_times(front, server, "GET", f"/public/status/{status}", status)


def _ask_many_times(front: Front, server: Server, method: str, target: str, status: int) -> None:
    """On one connection, with a request between whose answer has a body."""
    host = ("Host", front.host(server, "closed"))
    with RawConnection(front.portal.public) as wire:
        for _ in range(_MANY):
            wire.send(request(method, target, host))
            got = wire.read(to_head=method == "HEAD")
            assert (got.status, got.body) == (status, b""), got
            wire.send(request("GET", server.target, host))
            got = wire.read()
            assert got.status == 200, got
            assert b"page" in got.body


# --- a server that never says 100 ----------------------------------------------------------------


@pytest.mark.parametrize("server", ["wsgiref", "http-server", "php", "webrick"], indirect=True)
def test_a_body_that_is_there_costs_no_wait_for_100(front: Front, server: Server) -> None:
    """Waiting a second for each would take longer by far than all the rest."""
    host = ("Host", front.host(server, "closed"))

    def seconds(*fields: tuple[str, str]) -> float:
        start = time.monotonic()
        for _ in range(_AGAIN):
            raw = request("POST", "/public/x", host, *fields, body=b"all of it")
            got = exchange(front.portal.public, raw)
            assert got.status == 200, got
            assert b"all of it" in got.body
        return time.monotonic() - start

    usual = seconds()
    assert seconds(("Expect", "100-continue")) < usual + _AGAIN * 0.7


@pytest.mark.parametrize("server", ["wsgiref", "php", "gunicorn", "url"], indirect=True)
def test_a_client_that_waits_for_100_is_served(front: Front, server: Server) -> None:
    """The twin: the body comes only once the client was told to go on, by whomever."""
    host, expect = ("Host", front.host(server, "closed")), ("Expect", "100-continue")
    raw = request("POST", "/public/x", host, expect, ("Content-Length", "9"))
    with RawConnection(front.portal.public) as wire:
        wire.send(raw)
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        wire.send(b"all of it")
        got = wire.read()
    assert got.status == 200, got
