"""Where apps can be: behind TCP, a socket file or TLS; and how long they may take."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.core.access.policy import Mode
from tests.certificates import authority, write_pair
from tests.patience import PATIENCE, soon
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import (
    LOOPBACK,
    Raw,
    RawConnection,
    chunked,
    exchange,
    request,
    response,
)
from tests.wire.harness.recorder import Accepted, Live, Recorder, eventually
from tests.wire.harness.signer import new_key

_BODY = hashlib.shake_128(b"body").digest(3 << 20)


class AtFile(Recorder):
    """The recording app behind a socket file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()

    def listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen()
        return listener


class Secure(Recorder):
    """The recording app behind TLS."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*write_pair(folder, authority().issue(*names)))
        super().__init__()

    def handle(self, accepted: socket.socket) -> None:
        with self._tls.wrap_socket(accepted, server_side=True) as secure:
            super().handle(secure)


@pytest.fixture
def gina(tmp_path: Path) -> Iterator[Portal]:
    """A Portal that isn't running yet."""
    portal = Portal(tmp_path / "gina", "Gina")
    yield portal
    portal.release()


def add(portal: Portal, settings: str, app: str = "site") -> None:
    """Add an app, with this as its proxy.yaml."""
    folder = portal.config / "apps" / app
    folder.mkdir(parents=True)
    (folder / "app.json").write_text(SITE, "utf-8")
    (folder / "proxy.yaml").write_text(settings, "utf-8")


def ask(portal: Portal, target: str = "/", app: str = "site", *fields: tuple[str, str],
        body: bytes | None = None) -> Raw:  # fmt: skip
    head = (("Host", portal.app_host(app)), *fields)
    return exchange(portal.public, request("POST" if body else "GET", target, *head, body=body))


Put = Callable[[Path, ExitStack], tuple[Recorder, str]]


def _tcp(_: Path, stack: ExitStack) -> tuple[Recorder, str]:
    app = stack.enter_context(Recorder())
    return app, f"upstream: http://{LOOPBACK}:{app.port}\n"


def _relative(folder: Path, stack: ExitStack) -> tuple[Recorder, str]:
    app = stack.enter_context(AtFile(folder / "app.sock"))
    return app, "upstream: unix:../../../../app.sock\n"


def _absolute(folder: Path, stack: ExitStack) -> tuple[Recorder, str]:
    app = stack.enter_context(AtFile(folder / "app.sock"))
    return app, f"upstream: unix:{folder}/app.sock\n"


def _tls(folder: Path, stack: ExitStack) -> tuple[Recorder, str]:
    (folder / "ca.pem").write_bytes(authority().pem)
    app = stack.enter_context(Secure(folder / "tls", "localhost", LOOPBACK))
    return app, f"upstream: https://{LOOPBACK}:{app.port}\nupstream_ca: {folder}/ca.pem\n"


@pytest.mark.parametrize("put", [_tcp, _relative, _absolute, _tls])
def test_an_app_gets_and_gives_every_byte_wherever_it_is(
    gina: Portal, tmp_path: Path, put: Put
) -> None:
    with ExitStack() as stack:
        app, settings = put(tmp_path, stack)
        add(gina, settings)
        gina.start()
        app.script(response(299, ("X-Odd", b"\xe9  ,"), body=_BODY))

        got = ask(gina, "/a//b;c=%2F?x=%20&&", "site", ("X-Odd", "\xe9"), body=_BODY)

        assert (got.status, got.one("x-odd"), got.body) == (299, b"\xe9  ,", _BODY)
        assert app.request.first_line == b"POST /a//b;c=%2F?x=%20&& HTTP/1.1"
        assert app.request.one("host") == gina.app_host("site").encode()
        assert app.request.one("x-odd") == b"\xe9"
        assert app.request.body == _BODY
        app.script(
            response(200, ("Transfer-Encoding", "chunked"), body=None) + chunked(b"ab", b"c")
        )
        assert [ask(gina).body for _ in range(3)] == [b"abc"] * 3
        assert app.connections == 1
        assert gina.command("check").returncode == 0
        listed = gina.command("apps", "list").stdout
        assert settings.partition(" ")[2].partition("\n")[0].rpartition("/")[2] in listed


def test_an_app_at_a_file_may_go_and_come_back(gina: Portal, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    add(gina, f"upstream: unix:{path}\n")
    gina.start()
    for _ in range(2):
        assert ask(gina).code == "app_unreachable"
        with AtFile(path):
            assert ask(gina).body == b"ok"
        path.unlink()


@pytest.mark.parametrize(
    ("names", "is_trusted"), [(["localhost"], False), (["other.example"], True)]
)
def test_an_app_behind_tls_is_itself_or_nothing_is_sent(
    gina: Portal, tmp_path: Path, names: list[str], *, is_trusted: bool
) -> None:
    ca = authority().pem if is_trusted else b""
    with Secure(tmp_path / "tls", *names) as app:
        add(gina, f"upstream: https://localhost:{app.port}\n")
        if ca:
            with (gina.config / "apps/site/proxy.yaml").open("a") as file:
                file.write("upstream_ca: ca.pem\n")
            (gina.config / "apps/site/ca.pem").write_bytes(ca)
        gina.start()
        assert ask(gina).code == "app_unreachable"
        eventually(lambda: "certificate verify failed" in gina.log)
        assert app.received == b""


def test_a_new_authority_is_followed(gina: Portal, tmp_path: Path) -> None:
    with Secure(tmp_path / "tls", LOOPBACK) as app:
        add(gina, f"upstream: https://{LOOPBACK}:{app.port}\nupstream_ca: {tmp_path}/ca.pem\n")
        (tmp_path / "ca.pem").write_text("none yet")
        gina.start()
        assert ask(gina).code == "no_such_app"
        (tmp_path / "ca.pem").write_bytes(authority().pem)
        assert eventually(lambda: ask(gina).status == 200) < soon(1.5)


# How long everybody may take.


def _silent(link: Accepted) -> None:
    link.until(b"\r\n\r\n")
    link.rest()


def _late(link: Accepted) -> None:
    link.until(b"\r\n\r\n")
    time.sleep(3)
    link.send(response(200, body=b"late"))


def configure(portal: Portal, timeouts: str) -> None:
    with (portal.config / "portal.yaml").open("a") as file:
        file.write(f"timeouts: {timeouts}\n")


def test_an_app_may_be_silent_as_long_as_the_owner_says_and_one_of_them_longer(
    gina: Portal,
) -> None:
    configure(gina, "{app_answer: 0.5s}")
    with Live() as app:
        app.act = _late
        add(gina, f"upstream: http://{LOOPBACK}:{app.port}\n")
        add(gina, f"upstream: http://{LOOPBACK}:{app.port}\napp_answer: 30s\n", "patient")
        gina.start()
        start = time.monotonic()
        assert ask(gina).code == "app_timeout"
        assert 0.4 < time.monotonic() - start < soon(2.5)
        assert ask(gina, "/", "patient").body == b"late"


def test_an_app_that_takes_no_connections_is_given_up(gina: Portal) -> None:
    configure(gina, "{app_connect: 0.4s}")
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server((LOOPBACK, 0), backlog=0))
        port = full.getsockname()[1]
        for _ in range(4):  # until its queue is full, and the kernel answers nobody any more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the socket API
            waiting.connect_ex((LOOPBACK, port))
        add(gina, f"upstream: http://{LOOPBACK}:{port}\n")
        gina.start()
        start = time.monotonic()
        assert ask(gina).code == "app_timeout"
        assert 0.3 < time.monotonic() - start < soon(3)


@pytest.mark.parametrize("mode", ["sealed", "signed"])
def test_a_peer_may_be_silent_as_long_as_the_owner_says(gina: Portal, mode: Mode) -> None:
    configure(gina, "{peer_answer: 0.5s}")
    gina.add_app("wide", WIDE, 9)
    peer = new_key().public.portal_id
    with Live() as silent:
        silent.act = _silent
        gina.knows(contact(peer, "Slow", silent.port, silent.port, mode), apps={"wide": "all"})
        gina.start()
        head = (("Host", "portal_core"), ("Portal-Token", gina.token("wide")))
        start = time.monotonic()
        got = exchange(gina.apps, request("GET", f"/internal/call_peer/{peer}/x", *head))
        assert got.code == "peer_timeout"
        assert 0.4 < time.monotonic() - start < soon(5)


def test_a_client_has_as_long_as_the_owner_says(gina: Portal) -> None:
    configure(gina, "{head: 3s, idle: 1s}")
    with Recorder() as app:
        add(gina, f"upstream: http://{LOOPBACK}:{app.port}\n")
        gina.start()
        whole = request("GET", "/", ("Host", gina.app_host("site")))
        start = time.monotonic()
        with ExitStack() as stack:
            ports = (gina.public, gina.apps, gina.owner)
            slow = [stack.enter_context(RawConnection(port)) for port in ports]
            for wire in slow:
                wire.send(whole[:20])
            assert [wire.read().code for wire in slow] == ["request_timeout"] * 3
            assert 2.8 < time.monotonic() - start < PATIENCE / 2
        with RawConnection(gina.public) as idle:
            start = time.monotonic()
            idle.send(whole)
            assert idle.read().body == b"ok"
            assert idle.rest() == b""
            assert 0.8 < time.monotonic() - start < PATIENCE / 2


def test_every_listener_may_be_a_file_that_others_can_use_as_the_owner_says(gina: Portal) -> None:
    yaml = gina.config / "portal.yaml"
    head, _, _ = yaml.read_text().partition("listen:")
    sockets = {name: gina.config / f"{name}.sock" for name in ("public", "apps", "owner")}
    listen = ", ".join(f"{name}: 'unix:{path.name}'" for name, path in sockets.items())
    yaml.write_text(f"{head}listen: {{{listen}, public_mode: 0660, apps_mode: 0666}}\n")
    with Recorder() as app:
        add(gina, f"upstream: http://{LOOPBACK}:{app.port}\n")
        process = gina.launch()
        eventually(lambda: gina.command("health").returncode == 0)
        modes = {name: path.stat().st_mode & 0o777 for name, path in sockets.items()}
        assert modes == {"public": 0o660, "apps": 0o666, "owner": 0o600}
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(sockets["public"]))
            client.sendall(request("GET", "/x", ("Host", gina.app_host("site"))))
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert app.request.target == b"/x"
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert not any(path.exists() for path in sockets.values())
