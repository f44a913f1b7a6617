"""TLS on the public listener: a proxy as a process, certificates of the tests' own authority."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import connect

from tests.certificates import authority, write_pair
from tests.patience import PATIENCE, soon
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.portals import DOMAIN, Portal
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
from tests.wire.harness.sockets import WebSocketApp

_TLS = "accept: [sealed, signed]\ntls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}\n"
_HEAD = 4.0
"""Seconds that a client has for its handshake; enough on a machine that others use."""
_IMPATIENT = _TLS + f"timeouts: {{head: {_HEAD:g}s}}\n"
_BODY = hashlib.shake_128(b"body").digest(4 << 20)


@pytest.fixture
def settings() -> str:
    return _TLS


@pytest.fixture
def gina(gina: Portal) -> Portal:
    """A Portal that speaks TLS and isn't running yet."""
    return secure(gina)


def secure(portal: Portal) -> Portal:
    """Give a Portal a public address with https, and a certificate for it."""
    yaml = portal.config / "portal.yaml"
    yaml.write_text(yaml.read_text().replace("public_url: http:", "public_url: https:"))
    renew(portal)
    return portal


def renew(portal: Portal, *more: str) -> None:
    host = portal.host.partition(":")[0]
    write_pair(portal.config / "tls", authority().issue(host, f"*.{host}", *more))


class Secure(RawConnection):
    """A connection with TLS to a Portal's public listener, verified for the host of an app."""

    def __init__(
        self, portal: Portal, app: str = "site", version: ssl.TLSVersion | None = None
    ) -> None:
        super().__init__(portal.public)
        context = ssl.create_default_context(cadata=authority().pem.decode())
        context.set_alpn_protocols(["h2", "http/1.1"])
        if version is not None:
            context.minimum_version = context.maximum_version = version
        name = portal.app_host(app).partition(":")[0]
        self.tls = context.wrap_socket(self.socket, server_hostname=name)
        self.socket = self.tls

    @property
    def names(self) -> set[str]:
        """What the certificate that was shown is for."""
        shown = self.tls.getpeercert() or {}
        return {str(pair[1]) for pair in shown["subjectAltName"]}

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def ask(portal: Portal, *fields: tuple[str, str], method: str = "GET", body: bytes | None = None,
        more: bytes = b"") -> Raw:  # fmt: skip
    with Secure(portal) as wire:
        head = (("Host", portal.app_host("site")), *fields)
        wire.send(request(method, "/", *head, body=body) + more)
        return wire.read()


def health(portal: Portal) -> list[str]:
    got = exchange(portal.owner, request("GET", "/health", ("Host", "localhost"))).json()
    return list(got["problems"])


def test_bytes_pass_both_ways_as_they_are(gina: Portal, app: Recorder) -> None:
    gina.start()
    app.script(response(200, body=_BODY))
    assert ask(gina, ("X-A", "1"), method="POST", body=_BODY).body == _BODY
    assert app.request.body == _BODY
    assert app.request.one("x-a") == b"1"
    pieces = chunked(*(_BODY[at : at + 70_000] for at in range(0, len(_BODY), 70_000)))
    got = ask(gina, ("Transfer-Encoding", "chunked"), method="PUT", more=pieces)
    assert got.body == _BODY
    assert app.requests[1].body == _BODY
    assert "Traceback" not in gina.log


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_versions_of_today_are_spoken_and_http_1_1_in_them(
    gina: Portal, version: ssl.TLSVersion
) -> None:
    gina.start()
    with Secure(gina, version=version) as wire:
        assert wire.tls.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            wire.send(request("GET", "/", ("Host", gina.app_host("site"))))
            assert wire.read().body == b"ok"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_until_there_is_a_new_certificate(
    gina: Portal, version: ssl.TLSVersion
) -> None:
    """Its keys belong to one worker and one certificate; else the handshake is a whole one."""
    gina.start()
    context = ssl.create_default_context(cadata=authority().pem.decode())
    context.minimum_version = context.maximum_version = version

    def visit(session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None, str]:
        name = gina.app_host("site").partition(":")[0]
        with (
            socket.create_connection((LOOPBACK, gina.public), PATIENCE) as sock,
            context.wrap_socket(sock, server_hostname=name, session=session) as tls,
        ):
            tls.sendall(request("GET", "/", ("Host", gina.app_host("site"))))
            assert tls.recv(65536).startswith(b"HTTP/1.1 200 ")
            return tls.session_reused, tls.session, str(tls.getpeercert())

    _, session, _ = visit(None)
    is_resumed, session, _ = visit(session)
    assert is_resumed
    renew(gina, "new.example")
    eventually(lambda: "new.example" in visit(None)[2])
    is_resumed, _, shown = visit(session)
    assert not is_resumed
    assert "new.example" in shown


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_older_versions_are_refused(gina: Portal) -> None:
    gina.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((LOOPBACK, gina.public), timeout=PATIENCE) as client,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(client)
    eventually(lambda: "unsupported protocol" in gina.log)  # it was the proxy that refused


def test_a_new_certificate_is_followed_within_a_second_and_nobody_is_turned_away(
    gina: Portal,
) -> None:
    gina.start()
    stop, failures, shown = threading.Event(), list[Exception](), list[bool]()

    def visit() -> None:
        while not stop.is_set():
            try:
                with Secure(gina) as wire:
                    shown.append("new.example" in wire.names)
                    wire.send(request("GET", "/", ("Host", gina.app_host("site"))))
                    assert wire.read().body == b"ok"
            except Exception as error:  # noqa: BLE001 - a thread's, told below
                failures.append(error)

    with Secure(gina) as old:
        visitor = threading.Thread(target=visit)
        visitor.start()
        eventually(lambda: shown)
        renew(gina, "new.example")
        assert eventually(lambda: shown[-1]) < soon(1.2)
        stop.set()
        visitor.join()
        old.send(request("GET", "/", ("Host", gina.app_host("site"))))
        assert old.read().body == b"ok"  # with the one that it began with
    assert failures == []
    assert shown[0] is False


def test_half_a_new_pair_keeps_the_last_good_one_and_is_reported(
    gina: Portal, tmp_path: Path
) -> None:
    gina.start()
    certificate, key = (gina.config / "tls" / name for name in ("fullchain.pem", "privkey.pem"))
    host = gina.host.partition(":")[0]
    new = write_pair(tmp_path / "new", authority().issue(host, f"*.{host}", "new.example"))
    new[0].replace(certificate)
    eventually(lambda: health(gina))
    assert "privkey.pem: isn't the key of the certificate in" in health(gina)[0]
    with Secure(gina) as wire:
        assert "new.example" not in wire.names
    checked = gina.command("check")
    assert checked.returncode == 1
    assert "isn't the key of the certificate" in checked.stdout
    new[1].replace(key)
    eventually(lambda: not health(gina))
    with Secure(gina) as wire:
        assert "new.example" in wire.names
    assert len(gina.lines(level="error")) <= 1


@pytest.mark.parametrize("settings", [_IMPATIENT])
def test_plain_http_is_closed_and_a_silent_handshake_too_and_neither_holds_others_up(
    gina: Portal,
) -> None:
    gina.start()
    start = time.monotonic()
    with (
        RawConnection(gina.public) as silent,
        RawConnection(gina.public) as plain,
        RawConnection(gina.public) as half,
    ):
        plain.send(request("GET", "/", ("Host", gina.app_host("site"))))
        assert b"HTTP/" not in plain.rest()
        half.send(b"\x16\x03\x01\x02\x00\x01")
        assert ask(gina).body == b"ok"
        assert time.monotonic() - start < soon(_HEAD - 1)
        assert silent.rest() == half.rest() == b""
        assert _HEAD - 0.5 < time.monotonic() - start < PATIENCE / 2
    assert "Traceback" not in gina.log
    assert ask(gina).body == b"ok"


def test_a_websocket_goes_through_tls(gina: Portal) -> None:
    with WebSocketApp() as echo:
        gina.add_app("sock", SITE, echo.port)
        gina.start()
        with Secure(gina, "sock") as wire, connect(
            f"ws://{gina.app_host('sock')}/public/echo", sock=wire.socket, proxy=None, max_size=None
        ) as ws:  # fmt: skip
            for message in ("hello", _BODY[:1_000_000], ""):
                ws.send(message)
                assert ws.recv(PATIENCE) == message
            assert gina.stop() == 0
            with pytest.raises(ConnectionClosed) as caught:
                ws.recv(PATIENCE)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == CloseCode.GOING_AWAY
    assert "Traceback" not in gina.log


def test_health_asks_with_tls(gina: Portal) -> None:
    assert gina.command("health").returncode == 1
    gina.start()
    done = gina.command("health")
    assert (done.returncode, done.stderr) == (0, "")
    renew_as_expired(gina)
    eventually(lambda: health(gina))
    assert "has expired" in health(gina)[0]
    done = gina.command("health")
    assert done.returncode == 1
    assert "has expired" in done.stderr


def renew_as_expired(portal: Portal) -> None:
    write_pair(portal.config / "tls", authority().issue("a.example", begins=-9, ends=-1))


@pytest.mark.parametrize("settings", [_TLS + "timeouts: {head: 2s}\n"])
def test_it_stops_at_once_though_clients_are_there(gina: Portal) -> None:
    gina.start()
    with Secure(gina) as used, Secure(gina), RawConnection(gina.public):
        used.send(request("GET", "/", ("Host", gina.app_host("site"))))
        assert used.read().body == b"ok"
        start = time.monotonic()
        assert gina.stop() == 0
        assert time.monotonic() - start < soon(5)
        assert used.rest() == b""
    assert "Traceback" not in gina.log


def test_without_its_key_it_doesnt_start(gina: Portal) -> None:
    (gina.config / "tls" / "privkey.pem").chmod(0o644)
    done = gina.command("serve")
    assert done.returncode == 1
    assert "privkey.pem: others can read" in done.stderr


@pytest.mark.more
@pytest.mark.parametrize("mode", ["sealed", "signed"])
def test_peers_call_each_other_with_tls_of_their_own(
    tmp_path: Path, app: Recorder, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    ada, bob = (secure(Portal(tmp_path / n, n.title(), settings=_TLS)) for n in ("ada", "bob"))
    try:
        for one, other in ((ada, bob), (bob, ada)):
            one.add_app("wide", WIDE, app.port)
            words = ["--mode", mode, "--connect", f"{LOOPBACK}:{other.public}", "--yes"]
            address = f"https://{other.host}"
            added = one.command("peers", "add", other.id, "--name", other.name, "--address",
                                address, *words)  # fmt: skip
            assert added.returncode == 0, added.stderr
            assert one.command("apps", "allow", "wide", "all").returncode == 0
            one.start()
        path = f"/internal/call_peer/{bob.id}/x"
        head = (("Host", "portal_core"), ("Portal-Token", ada.token("wide")))
        got = exchange(ada.apps, request("POST", path, *head, body=_BODY))
        assert (got.status, got.body) == (200, b"ok")
        assert app.request.body == _BODY
        pinged = json.loads(ada.command("ping", bob.id, "--json").stdout)
        assert {step["name"]: step["ok"] for step in pinged["steps"]}["tls"] is True
    finally:
        ada.release()
        bob.release()
    assert DOMAIN in bob.host
