"""Devices that are no browsers, on the wire: they come in by a token, which no app gets."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.terminals.device_token import new_device_token
from tests.core.websocket.framing import MASK, Frame
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, RawConnection, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sockets import RawSocket, handshake, switched
from tests.wire.harness.terminals import HTML, pair, remove
from tests.wire.test_tls import Secure, secure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.core.access.policy import Mode

FILES = """{"v": "3.2", "port": 80, "paths": {
  "": {"access": "private"}, "/public": {"access": "public"}}}"""
ON = "device_tokens: true\n"
WEB_SERVER = "127.0.0.2"
"""Trusted by the Portal of these tests."""


@pytest.fixture(scope="module")
def files() -> Iterator[Recorder]:
    with Recorder() as app:
        yield app


@pytest.fixture(scope="module")
def ivy_(
    tmp_path_factory: pytest.TempPathFactory, files: Recorder, portals: type[Portal]
) -> Iterator[Portal]:
    settings = f"log: json\ntrusted_proxies: [{WEB_SERVER}]\n"
    portal = portals(tmp_path_factory.mktemp("tokens") / "ivy", "Ivy", settings=settings)
    portal.add_app("files", FILES, files.port, ON)
    portal.add_app("wiki", FILES, files.port)
    portal.start()
    yield portal
    portal.release()


@pytest.fixture
def ivy(ivy_: Portal, files: Recorder) -> Portal:
    files.clear()
    return ivy_


@pytest.fixture(scope="module")
def dav(ivy_: Portal) -> dict[str, Any]:
    """What the owner's command told of a device."""
    return added(ivy_, "files", "Phone's DAV")


def added(portal: Portal, app: str, name: str) -> dict[str, Any]:
    words = ("terminals", "add", "--token", "--app", app, "--name", name, "--json")
    done = portal.command(*words)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def basic(token: str, user: str = "anything") -> tuple[str, str]:
    pair = base64.b64encode(f"{user}:{token}".encode()).decode()
    return ("Authorization", f"Basic {pair}")


def ask(
    portal: Portal, *fields: tuple[str, str], path: str = "/x", method: str = "GET",
    app: str = "files", came_from: str = "", body: bytes | None = None,
) -> Raw:  # fmt: skip
    with RawConnection(portal.public, came_from) as wire:
        wire.send(request(method, path, ("Host", portal.app_host(app)), *fields, body=body))
        return wire.read(to_head=method == "HEAD")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PROPFIND", "PUT", "OPTIONS"])
def test_a_device_comes_in_by_its_token_which_no_app_gets(
    ivy: Portal, files: Recorder, dav: dict[str, Any], method: str
) -> None:
    for shown in (bearer(dav["token"]), basic(dav["token"])):
        files.clear()
        body = b"text" if method == "PUT" else None
        got = ask(ivy, ("X-A", "1"), shown, ("X-B", "2"), method=method, body=body)
        assert got.status == 200
        told = files.request
        assert told.one("x-ptl-client-type") == b"terminal"
        assert told.one("x-ptl-client-id") == dav["id"].encode()
        assert told.one("x-ptl-client-name") == b"Phone's DAV"
        assert (told.one("x-a"), told.one("x-b")) == (b"1", b"2")
        assert told.all("authorization") == []
        assert dav["token"].encode() not in files.received
        assert got.all("cache-control") == [b"private"]
        assert got.all("set-cookie") == []
    log = ivy.settled_log()
    assert dav["token"] not in log
    assert shown[1] not in log


def test_the_log_names_the_device_and_says_why_a_token_is_refused(
    ivy: Portal, dav: dict[str, Any]
) -> None:
    assert ask(ivy, basic(dav["token"]), path="/told").status == 200
    for token, why in (
        (dav["token"][:-1], "isn't whole"),
        (new_device_token(bytes(32)), "removed"),
    ):
        assert ask(ivy, bearer(token), path=f"/{why[:2]}").status == 401
        ivy.settled_log()
        [line] = ivy.lines(code="device_token_refused", path=f"/{why[:2]}")
        assert why in line["detail"]
        assert token[14:] not in ivy.log
    [line] = ivy.lines(path="/told")
    assert (line["caller"], line["caller_id"]) == ("terminal", dav["id"])
    assert line["caller_name"] == "Phone's DAV"


def test_an_apps_own_credentials_pass_and_ours_dont(
    ivy: Portal, files: Recorder, dav: dict[str, Any]
) -> None:
    other = ("Authorization", "Basic  Y2Fyb2w6cGFzcw==")
    for app in ("files", "wiki"):
        files.clear()
        assert ask(ivy, other, path="/public", app=app).status == 200
        assert files.request.all("authorization") == [b"Basic  Y2Fyb2w6cGFzcw=="]
    files.clear()
    for shown in (bearer(dav["token"]), basic(dav["token"]), basic("", dav["token"])):
        for path in ("/public", "/x"):
            got = ask(ivy, shown, path=path, app="wiki")
            assert (got.status, got.code) == (401, "device_token_refused")
    twice = ask(ivy, bearer(dav["token"]), other, path="/public")
    assert (twice.status, twice.code) == (401, "device_token_refused")
    assert files.connections == 0


def test_who_is_unknown_is_asked_for_a_token_and_a_browser_to_pair(ivy: Portal) -> None:
    for method in ("GET", "HEAD", "PROPFIND", "OPTIONS"):
        got = ask(ivy, method=method)
        assert got.status == 401
        assert got.all("www-authenticate") == [b'Basic realm="files", charset="UTF-8"']
    assert ask(ivy, HTML).status == 303
    assert ask(ivy, HTML, method="HEAD").all("www-authenticate") == [b"Portal"]
    assert ask(ivy, app="wiki").all("www-authenticate") == [b"Portal"]
    preflight = (("Origin", "http://a.example"), ("Access-Control-Request-Method", "PUT"))
    got = ask(ivy, *preflight, method="OPTIONS")
    assert (got.status, got.all("www-authenticate")) == (401, [b"Portal"])


def test_the_page_of_another_site_gets_nothing_by_a_password_that_was_remembered(
    ivy: Portal, files: Recorder, dav: dict[str, Any]
) -> None:
    shown = basic(dav["token"])
    for foreign in (("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")):
        got = ask(ivy, shown, foreign, method="POST", body=b"")
        assert (got.status, got.code) == (401, "proof_required")
        assert got.all("www-authenticate") == [b"Portal"]
    assert files.connections == 0
    ask(ivy, shown, ("Origin", "https://evil.example"), path="/public")
    assert files.request.one("x-ptl-client-type") == b"anonymous"
    assert files.request.all("authorization") == []
    own = ("Origin", f"http://{ivy.app_host('files')}")
    assert ask(ivy, shown, own, method="POST", body=b"").status == 200


def test_of_a_token_and_a_cookie_the_token_counts(
    ivy: Portal, files: Recorder, dav: dict[str, Any]
) -> None:
    phone = pair(ivy)
    assert ask(ivy, phone.cookie, basic(dav["token"])).status == 200
    assert files.request.one("x-ptl-client-id") == dav["id"].encode()
    assert files.request.all("cookie") == []
    refused = ask(ivy, phone.cookie, basic(dav["token"][:-1]))
    assert (refused.status, refused.code) == (401, "device_token_refused")
    remove(ivy, phone.id)


_CLIENT = ("X-Forwarded-For", "203.0.113.7")


def test_over_plain_http_from_elsewhere_no_token_counts_and_the_owner_is_told(
    ivy: Portal, files: Recorder, dav: dict[str, Any]
) -> None:
    plain = (_CLIENT, ("X-Forwarded-Proto", "http"))
    for shown in (basic(dav["token"]), bearer(dav["token"])):
        for path in ("/x", "/public"):
            got = ask(ivy, shown, *plain, path=path, came_from=WEB_SERVER)
            assert (got.status, got.code) == (403, "device_token_exposed")
    # Nobody but a trusted web server says that it was https.
    claimed = (_CLIENT, ("X-Forwarded-Proto", "https"))
    assert ask(ivy, basic(dav["token"]), *claimed).code == "device_token_exposed"
    assert files.connections == 0
    assert ask(ivy, *plain, came_from=WEB_SERVER).all("www-authenticate") == [b"Portal"]
    ivy.settled_log()
    [*lines] = ivy.lines(code="device_token_exposed")
    assert all(dav["id"] in line["detail"] for line in lines)
    [told] = ivy.lines(logger="terminals", level="warning")
    assert f"(portal-proxy terminals remove {dav['id']})" in told["message"]


def test_over_https_of_a_trusted_web_server_it_counts(
    ivy: Portal, files: Recorder, dav: dict[str, Any]
) -> None:
    secure = (_CLIENT, ("X-Forwarded-Proto", "https"))
    assert ask(ivy, basic(dav["token"]), *secure, came_from=WEB_SERVER).status == 200
    assert files.request.one("x-ptl-client-id") == dav["id"].encode()
    asked = ask(ivy, *secure, came_from=WEB_SERVER)
    assert asked.all("www-authenticate") == [b'Basic realm="files", charset="UTF-8"']


def test_a_token_that_was_made_a_moment_ago_is_good_and_a_removal_ends_what_runs(
    ivy: Portal, files: Recorder
) -> None:
    tablet = added(ivy, "files", "Tablet")
    assert ask(ivy, basic(tablet["token"])).status == 200
    files.script(switched())
    with RawSocket(ivy.public) as socket, RawConnection(ivy.public) as upload:
        socket.open(handshake(ivy.app_host("files"), "/ws", basic(tablet["token"])))
        head = request("PUT", "/x", ("Host", ivy.app_host("files")), basic(tablet["token"]))
        upload.send(head.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n") + b"part")
        eventually(lambda: files.received.endswith(b"part"))
        done = ivy.command("terminals", "remove", tablet["id"])
        assert done.returncode == 0, done.stderr
        assert [got.all("authorization") for got in files.requests] == [[], []]
        [close] = socket.hear_all()
        assert struct.unpack("!H", close.payload[:2]) == (1008,)
        ended = upload.read()
        assert (ended.status, ended.code) == (401, "proof_required")
    files.clear()
    got = ask(ivy, basic(tablet["token"]), path="/public")
    assert (got.status, got.code) == (401, "device_token_refused")
    assert files.connections == 0


def test_the_setting_is_followed(ivy: Portal, dav: dict[str, Any]) -> None:
    settings = ivy.config / "apps" / "files" / "proxy.yaml"
    before = settings.read_text()
    settings.write_text(before.replace(ON, "device_tokens: false\n"))
    eventually(lambda: ask(ivy, basic(dav["token"])).status == 401)
    assert ask(ivy).all("www-authenticate") == [b"Portal"]
    settings.write_text(before)
    eventually(lambda: ask(ivy, basic(dav["token"])).status == 200)


def test_an_app_that_takes_none_any_more_is_left_by_who_came_by_one(
    ivy: Portal, files: Recorder, dav: dict[str, Any]
) -> None:
    """As by a removal: sockets and streams have no end of their own."""
    settings = ivy.config / "apps" / "files" / "proxy.yaml"
    before, phone = settings.read_text(), pair(ivy)
    host = ("Host", ivy.app_host("files"))
    files.script(switched())
    with (
        RawSocket(ivy.public) as by_token,
        RawSocket(ivy.public) as by_cookie,
        RawConnection(ivy.public) as stream,
        RawConnection(ivy.public) as waiting,
    ):
        by_token.open(handshake(host[1], "/ws", basic(dav["token"])))
        by_cookie.open(handshake(host[1], "/ws", phone.cookie))
        files.script(response(200, ("Content-Length", "5"), body=None))
        stream.send(request("GET", "/stream", host, bearer(dav["token"])))
        assert stream.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        files.script(b"")
        waiting.send(request("GET", "/waits", host, basic(dav["token"])))
        eventually(lambda: len(files.requests) == 4)
        settings.write_text(before.replace(ON, ""))
        [close] = by_token.hear_all()
        assert struct.unpack("!H", close.payload[:2]) == (1008,)
        assert stream.rest() == b""
        ended = waiting.read()
        assert (ended.status, ended.code) == (401, "device_token_refused")
        still = Frame(0x2, b"still there")
        by_cookie.say(still)
        eventually(lambda: still.raw(MASK) in files.received)
    files.clear()
    settings.write_text(before)
    eventually(lambda: ask(ivy, basic(dav["token"])).status == 200)
    remove(ivy, phone.id)


PEERS = FILES.replace('"/public"', '"/peer": {"access": "peer"}, "/public"')


@pytest.mark.parametrize("mode", ["sealed", "signed"])
def test_no_app_gets_a_token_of_ours_from_a_peer_and_no_peer_one_from_an_app(
    tmp_path: Path, files: Recorder, mode: Mode
) -> None:
    files.clear()
    gina, hal = (
        Portal(tmp_path / name, name, settings="accept: [sealed, signed]\n")
        for name in ("gina", "hal")
    )
    for portal, other in ((gina, hal), (hal, gina)):
        portal.add_app("wide", PEERS, files.port, ON)
        portal.knows(other.as_contact(mode=mode), apps={"wide": "all"})
    try:
        gina.start()
        hal.start()
        device = added(gina, "wide", "DAV")
        token = device["token"]
        eventually(lambda: ask(gina, basic(token), app="wide").status == 200)
        files.clear()
        own = (("Host", "portal_core"), ("Portal-Token", hal.token("wide")))
        path = f"/internal/call_peer/{gina.id}/peer"
        got = exchange(hal.apps, request("GET", path, *own, ("Authorization", "Basic YTpi")))
        assert got.status == 200
        assert files.request.one("authorization") == b"Basic YTpi"
        assert files.request.one("x-ptl-client-type") == b"peer"
        files.clear()
        for shown in (bearer(token), basic(token), bearer(token[:-9])):
            got = exchange(hal.apps, request("GET", path, *own, shown))
            assert (got.status, got.code) == (401, "device_token_refused")
            gina.settled_log()
            assert not gina.lines(code="device_token_refused")
        # The owner's command sends what it is told to, as another program could.
        for shown in (basic(token), bearer(token.upper())):
            line = ": ".join(shown)
            done = hal.command("call", "gina", "wide", "/peer", "--header", line, "--fail")
            assert done.returncode != 0
            assert "device_token_refused" in done.stdout + done.stderr
        assert files.connections == 0
        gina.settled_log()
        first, second = gina.lines(code="device_token_refused")
        assert first["mode"] == mode
        assert f"the token of terminal {device['id']} in a peer's call" in first["detail"]
        assert device["id"] not in second["detail"]
        assert token[14:] not in gina.log + hal.log
    finally:
        gina.release()
        hal.release()


@pytest.fixture
def settings() -> str:
    return "tls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}\n"


def test_it_counts_with_tls_of_our_own(gina: Portal, app: Recorder) -> None:
    def ask_mail(*fields: tuple[str, str]) -> Raw:
        with Secure(gina, "mail") as wire:
            wire.send(request("GET", "/", ("Host", gina.app_host("mail")), *fields))
            return wire.read()

    secure(gina)
    gina.add_app("mail", FILES, app.port, ON)
    gina.start()
    asked = ask_mail()
    assert asked.all("www-authenticate") == [b'Basic realm="mail", charset="UTF-8"']
    device = added(gina, "mail", "Mail")
    assert device["url"] == f"https://{gina.app_host('mail')}/"
    app.script(response(200, body=b"mine"))
    assert ask_mail(basic(device["token"], device["user"])).body == b"mine"
    assert app.request.one("x-ptl-client-name") == b"Mail"
