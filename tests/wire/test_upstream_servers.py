"""Apps behind servers of HTTP/1.0, or of odd habits: what they store, and what they answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import (
    LOOPBACK,
    Raw,
    RawConnection,
    chunked,
    exchange,
    request,
    response,
)
from tests.wire.harness.recorder import Recorder, eventually

_BODY = bytes(range(256)) * 4096
_CHUNKED = ("Transfer-Encoding", "chunked")


class _Stored(BaseHTTPRequestHandler):
    """Stores as much as it is told, as http.server's handlers do."""

    def do_PUT(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        stored: list[bytes] = self.server.stored  # type: ignore[attr-defined]
        stored.append(self.rfile.read(length))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response({"/204": 204, "/304": 304}.get(self.path, 200))
        self.end_headers()
        self.wfile.write(b"a body for everybody")

    def do_DELETE(self) -> None:
        """Leave the body where it is."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Careless(_Stored):
    protocol_version = "HTTP/1.1"


@contextmanager
def _http_server(handler: type[_Stored] = _Stored) -> Iterator[tuple[int, list[bytes]]]:
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        server.stored = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, server.stored  # type: ignore[attr-defined]
        server.shutdown()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _wsgiref() -> Iterator[tuple[int, list[bytes]]]:
    stored: list[bytes] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            stored.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        status = {"/204": "204 No Content", "/304": "304 Not Modified"}
        start(status.get(environ["PATH_INFO"], "200 OK"), [("Content-Type", "text/plain")])
        return [b"a body for everybody"]

    with make_server(LOOPBACK, 0, app, handler_class=_Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, stored
        server.shutdown()


_SERVERS = {"http.server": _http_server, "wsgiref": _wsgiref}


@pytest.fixture
def gina(tmp_path: Path, settings: str) -> Iterator[Portal]:
    """A Portal that isn't running yet."""
    portal = Portal(tmp_path / "gina", "Gina", settings=settings)
    yield portal
    portal.release()


def _put(portal: Portal, *pieces: bytes, app: str = "site") -> Raw:
    head = request("PUT", "/file", ("Host", portal.app_host(app)), _CHUNKED)
    return exchange(portal.public, head + chunked(*pieces))


@pytest.mark.more
@pytest.mark.parametrize("server", _SERVERS)
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_chunked_upload_is_stored_whole_by_a_server_of_http_1_0(
    gina: Portal, server: str, *, asked_before: bool
) -> None:
    with _SERVERS[server]() as (port, stored):
        gina.add_app("site", SITE, port)
        gina.start()
        if asked_before:
            exchange(gina.public, request("GET", "/", ("Host", gina.app_host("site"))))
        for body in ((_BODY,), (b"one", b"two"), ()):
            assert _put(gina, *body).status in (200, 201)
        assert stored == [_BODY, b"onetwo", b""]


def test_what_a_server_speaks_can_be_settled(gina: Portal) -> None:
    with _http_server(_Careless) as (port, stored):
        gina.add_app("site", SITE, port, 'http: "1.0"\n')
        gina.start()
        assert _put(gina, _BODY).status == 201
        assert stored == [_BODY]


def test_a_server_of_http_1_1_gets_a_body_as_it_comes(gina: Portal, app: Recorder) -> None:
    gina.add_app("site", SITE, app.port, "http: 1.1\n")
    gina.start()
    _put(gina, b"one", b"two")
    assert app.request.one("transfer-encoding") == b"chunked"


@pytest.mark.parametrize("settings", ["limits: {spooled_body: 64 KiB}\n"])
def test_a_body_that_is_too_large_to_be_held_is_refused(gina: Portal) -> None:
    with _http_server() as (port, stored):
        gina.add_app("site", SITE, port)
        gina.start()
        got = _put(gina, b"x" * 40_000, b"x" * 40_000)
        assert (got.status, got.code) == (507, "cannot_hold")
        assert _put(gina, b"x" * 40_000).status == 201
        assert [len(body) for body in stored] == [40_000]
        eventually(lambda: "the length of a body must be told" in gina.log)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_client_of_http_1_0_must_tell_the_length(
    gina: Portal, app: Recorder, method: str
) -> None:
    gina.add_app("site", SITE, app.port)
    gina.start()
    head = request(method, "/", ("Host", gina.app_host("site"))).replace(b"/1.1\r", b"/1.0\r", 1)
    got = exchange(gina.public, head + b"hello")
    assert (got.status, got.code) == (411, "length_required")
    assert app.received == b""
    told = head.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"hello"
    assert exchange(gina.public, told).status == 200


@pytest.mark.parametrize("server", _SERVERS)
def test_a_body_where_none_belongs_breaks_no_answer(gina: Portal, server: str) -> None:
    with _SERVERS[server]() as (port, _):
        gina.add_app("site", SITE, port)
        gina.start()
        host = ("Host", gina.app_host("site"))
        for _ in range(5):
            for method, target, status in (
                ("HEAD", "/", 200),
                ("GET", "/204", 204),
                ("GET", "/304", 304),
                ("HEAD", "/304", 304),
            ):
                got = exchange(gina.public, request(method, target, host))
                assert (got.status, got.body) == (status, b"")


def test_a_body_that_a_server_takes_for_a_request_gets_nobody_an_answer(gina: Portal) -> None:
    with _http_server(_Careless) as (port, stored):
        gina.add_app("site", SITE, port)
        gina.start()
        host = ("Host", gina.app_host("site"))
        evil = request("PUT", "/evil", ("Host", "a"), body=b"evil")
        for _ in range(5):
            got = exchange(gina.public, request("DELETE", "/", host, body=evil))
            assert got.code == "app_failed" if got.status == 502 else got.body == b"ok"
            assert exchange(gina.public, request("GET", "/304", host)).status == 304
        assert set(stored) <= {b"evil"}  # it is carried out; nobody gets its answer
        eventually(lambda: "answered twice" in gina.log)
        assert "answered twice" in gina.command("check").stdout


@pytest.mark.parametrize("waits", [False, True])
def test_expect_costs_no_second_where_the_body_is_there(
    gina: Portal, app: Recorder, *, waits: bool
) -> None:
    """The recorder never sends 100."""
    gina.add_app("site", SITE, app.port)
    gina.start()
    head = request("POST", "/", ("Host", gina.app_host("site")), ("Content-Length", "5"),
                   ("Expect", "100-continue"))  # fmt: skip
    took = []
    for body in (b"first", *[b"again"] * 4):
        begun = time.monotonic()
        with RawConnection(gina.public) as wire:
            wire.send(head if waits else head + body)
            if waits:
                assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
                wire.send(body)
            assert wire.read().status == 200
        took.append(time.monotonic() - begun)
    assert app.requests[-1].body == b"again"
    # Who waits did so once: such a server is known by then. Else each would take a second.
    assert min(took[1:]) < 0.9


@pytest.mark.parametrize("workers", [1, 2])
def test_a_loop_is_broken_at_its_first_turn(gina: Portal, app: Recorder, workers: int) -> None:
    gina.workers = workers
    gina.add_app("site", SITE, gina.public)
    gina.add_app("other", SITE, app.port)
    gina.start()
    got = exchange(gina.public, request("GET", "/", ("Host", gina.app_host("site"))))
    assert (got.status, got.code) == (508, "loop_detected")
    eventually(lambda: gina.log.count("loop_detected") == 1)
    # What others name is theirs, and another app's name is no loop.
    others = f"cloudflare; loops=1, x{gina.app_host('other').partition(':')[0]}"
    host = ("Host", gina.app_host("other"))
    assert exchange(gina.public, request("GET", "/", host, ("CDN-Loop", others))).status == 200
    assert app.request.all("cdn-loop") == [
        others.encode(), gina.app_host("other").partition(":")[0].encode()
    ]  # fmt: skip
    for spelled in (host[1].partition(":")[0].upper(), f"a,\t{host[1].partition(':')[0]} ;x=1"):
        got = exchange(gina.public, request("GET", "/", host, ("CDN-Loop", spelled)))
        assert got.code == "loop_detected"
    assert "own public listener" in gina.command("check").stdout


def test_a_socket_of_http_1_0_answers_with_its_head_alone(gina: Portal, app: Recorder) -> None:
    gina.add_app("site", SITE, app.port)
    gina.start()
    app.script(response(205, body=b""))
    assert exchange(gina.public, request("GET", "/", ("Host", gina.app_host("site")))).status == 205
