"""The examples of docs/middleware.md under the servers that it names: real ones, real callers."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from tests.docs.examples import PORT, commands, files
from tests.patience import PATIENCE, soon
from tests.wire.harness.examples import Example
from tests.wire.harness.portals import Portal, contact, wait_for_ports
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sealer import Sender
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.sockets import dial

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.core.identity import PrivateKey

SERVERS = {
    "as on the page": [],
    "uvicorn_h11": ["uvicorn", "{}:app", "--port", PORT, "--http", "h11", "--no-proxy-headers"],
    "uvicorn_httptools": ["uvicorn", "{}:app", "--port", PORT, "--http", "httptools"],
    "hypercorn": ["hypercorn", "{}:app", "--bind", f"127.0.0.1:{PORT}"],
}
# How the page does it is tried each time; under every server, where there is more time.
_OTHERS = [pytest.param(name, marks=pytest.mark.more) for name in list(SERVERS)[1:]]
_EACH = ["as on the page", *_OTHERS]
JSON = (("Content-Type", "application/json"),)
SAID = b'{"text": "Hello!"}'


@dataclass
class Stage:
    """An example that runs, and a peer that has only a key."""

    portal: Example
    cleo: PrivateKey
    app: str

    def ask(self, method: str, target: str, *fields: tuple[str, str], body: bytes | None = None,
            app: str | None = None) -> Raw:  # fmt: skip
        """Ask the app as a stranger."""
        host = ("Host", self.portal.app_host(app or self.app))
        return exchange(self.portal.public, request(method, target, host, *fields, body=body))

    def call(self, method: bytes, target: bytes, body: bytes = b"", app: str = "") -> Raw:
        """Call the app as a peer, signed; hold that the response is the Portal's."""
        fields = tuple((name.lower().encode(), value.encode()) for name, value in JSON)
        call = sign_call(self.cleo, self.portal, app or self.app, target, method=method,
                         fields=fields, body=body)  # fmt: skip
        got = exchange(self.portal.public, call.raw)
        assert call.believes(got, self.portal.id)
        return got


def staged(folder: Path, app: str, server: str) -> Iterator[Stage]:
    """Give the example ``app``.py under a server."""
    with ExitStack() as stack:
        portal = Example(folder / "ada", "Ada")
        stack.callback(portal.release)
        portal.put(f"{app}.py", f"{app}/app.json")
        cleo = new_key()
        portal.knows(contact(cleo.public.portal_id, "Cleo Größe", 1, 1), apps={app: "all"})
        words = [word.format(app) for word in SERVERS[server]]
        yield Stage(portal.serve(f"{app}.py", words), cleo, app)
        assert "a mistake of our own" not in portal.log, portal.log
        assert "Traceback" not in portal.log, portal.log


@pytest.fixture(scope="module", params=_EACH)
def guestbook(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    yield from staged(tmp_path_factory.mktemp("guestbook"), "guestbook", request.param)


@pytest.fixture(scope="module", params=_EACH)
def chat(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    yield from staged(tmp_path_factory.mktemp("chat"), "chat", request.param)


# FastAPI.


def test_a_peer_writes_and_a_stranger_reads(guestbook: Stage) -> None:
    before = len(guestbook.ask("GET", "/public/entries").json())

    assert guestbook.call(b"POST", b"/peer/entries", SAID).status == 201

    got = guestbook.ask("GET", "/public/entries")
    assert got.json()[before:] == [
        {"from": guestbook.cleo.public.portal_id, "name": "Cleo Gr%C3%B6%C3%9Fe", "text": "Hello!"}
    ]


def test_a_sealed_call_is_opened_and_answered(guestbook: Stage) -> None:
    before = len(guestbook.ask("GET", "/public/entries").json())
    sender = Sender(guestbook.cleo, guestbook.portal)
    kind = ((b"content-type", b"application/json"),)

    head = sender.head("guestbook", b"/peer/entries", method=b"POST", fields=kind)

    assert sender.ask(head, SAID).status == 201
    assert len(guestbook.ask("GET", "/public/entries").json()) == before + 1
    sender = Sender(guestbook.cleo, guestbook.portal)
    assert sender.ask(sender.head("guestbook", b"/private")).code == "not_allowed"


def test_a_stranger_may_not_write_whatever_it_says(guestbook: Stage) -> None:
    before = guestbook.ask("GET", "/public/entries").json()
    forged = (*JSON, ("X-Ptl-Client-Id", "evil"), ("X-Ptl-Client-Name", "evil"))
    for target in ("/peer/entries", "/public/../peer/entries", "/peer%2Fentries", "//peer/entries"):
        got = guestbook.ask("POST", target, *forged, body=SAID)
        assert got.status in (400, 401)
        assert got.one("portal-refusal") in (b"bad_target", b"proof_required")
    assert guestbook.ask("GET", "/public/entries").json() == before


def test_what_was_carried_out_is_not_carried_out_again(guestbook: Stage) -> None:
    call = sign_call(guestbook.cleo, guestbook.portal, "guestbook", b"/peer/entries",
                     method=b"POST", fields=((b"content-type", b"application/json"),),
                     body=SAID)  # fmt: skip
    assert exchange(guestbook.portal.public, call.raw).status == 201
    assert exchange(guestbook.portal.public, call.raw).code == "replayed"


def test_only_two_hosts_are_ours(guestbook: Stage) -> None:
    for foreign in ("evil.example", guestbook.portal.app_host("other"), "127.0.0.1"):
        asked = request("GET", "/public/entries", ("Host", foreign))
        got = exchange(guestbook.portal.public, asked)
        assert (got.status, got.code) == (421, "misdirected")
    host = ("Host", guestbook.portal.host)
    got = exchange(guestbook.portal.public, request("GET", "/.well-known/portal-identity", host))
    assert got.json()["id"] == guestbook.portal.id
    # Another app's host is none of ours for a peer either.
    call = sign_call(guestbook.cleo, guestbook.portal, "other")
    assert exchange(guestbook.portal.public, call.raw).code == "misdirected"


# Starlette, and WebSockets.


def test_the_app_is_told_who_asks(chat: Stage) -> None:
    room = chat.portal.id[:6]
    stranger = {"x-ptl-client-type": "anonymous", "x-ptl-client-id": "", "x-room": room}
    forged = (("X-Ptl-Client-Type", "terminal"), ("X_Room", "evil"), ("X-Room", "evil"))
    peer = {"x-ptl-client-type": "peer", "x-ptl-client-id": chat.cleo.public.portal_id}

    assert chat.ask("GET", "/", *forged).json() == stranger
    assert chat.call(b"GET", b"/").json() == {**peer, "x-room": room}


def test_a_websocket_is_judged_and_carried(chat: Stage) -> None:
    for text in ("hello", "é" * 70_000):
        with dial(chat.portal, "/talk", "chat") as ws:
            ws.send(text)
            assert ws.recv() == f"anonymous: {text}"
    for path, status in (("/peer/talk", 401), ("/%2e%2e/talk", 400)):
        with pytest.raises(InvalidStatus) as refused:
            dial(chat.portal, path, "chat")
        assert refused.value.response.status_code == status
    with pytest.raises(InvalidStatus) as refused:
        dial(chat.portal, "/talk", "other")
    assert refused.value.response.status_code == 421


# Its life.


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    portal = Example(tmp_path / "ada", "Ada")
    portal.put("guestbook.py", "guestbook/app.json", "portal.py")
    yield portal
    portal.release()


@pytest.mark.parametrize("server", _OTHERS)
def test_what_is_wrong_with_the_files_ends_the_start(example: Example, server: str) -> None:
    wrong = example.config / "apps" / "guestbook" / "app.json"
    wrong.write_text('{"v": "3.2", "port": 80, "paths": {"": {"access": "everybody"}}}')
    process = example.run("guestbook.py", [word.format("guestbook") for word in SERVERS[server]])
    status = process.wait(PATIENCE)
    assert status or server == "hypercorn"  # which ends with 0 all the same
    assert "everybody" in example.log
    assert "app.json" in example.log


def test_an_app_without_a_file_ends_the_start(example: Example) -> None:
    for path in (example.config / "apps" / "guestbook").iterdir():
        path.unlink()
    (example.config / "apps" / "guestbook").rmdir()
    process = example.run("guestbook.py")
    assert process.wait(PATIENCE) != 0
    assert "there is no such app" in example.log


def test_a_removed_contact_is_shut_out_within_a_second(example: Example) -> None:
    cleo = new_key()
    example.knows(contact(cleo.public.portal_id, "Cleo", 1, 1), apps={"guestbook": "all"})
    stage = Stage(example.serve("guestbook.py"), cleo, "guestbook")
    assert stage.call(b"GET", b"/public/entries").status == 200

    example.knows(apps={"guestbook": "all"})

    assert eventually(lambda: stage.call(b"GET", b"/public/entries").status == 403) < soon(5)


@pytest.mark.parametrize("server", _OTHERS)
def test_it_ends_when_it_is_told_to(example: Example, server: str) -> None:
    example.serve("guestbook.py", [word.format("guestbook") for word in SERVERS[server]])
    stage = Stage(example, new_key(), "guestbook")
    assert stage.ask("GET", "/public/entries").json() == []
    assert example.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in example.log


def test_several_workers_carry_a_call_out_once(example: Example) -> None:
    cleo = new_key()
    example.knows(contact(cleo.public.portal_id, "Cleo", 1, 1), apps={"guestbook": "all"})
    stage = Stage(
        example.serve("guestbook.py", [*commands()["guestbook.py"], "--workers", "2"]),
        cleo,
        "guestbook",
    )
    call = sign_call(cleo, example, "guestbook", b"/public/entries")
    eventually(lambda: example.log.count("Application startup complete") == 2)
    statuses = [exchange(example.public, call.raw).status for _ in range(20)]
    assert sorted(statuses) == [200] + [409] * 19
    assert stage.call(b"GET", b"/public/entries").status == 200


@pytest.mark.more
def test_the_app_calls_peers_by_a_proxy_beside_it(example: Example, tmp_path: Path) -> None:
    """The same config and state, and a public listener that nobody uses."""
    yaml = example.config / "portal.yaml"
    public = f'public: "127.0.0.1:{example.public}"'
    assert public in yaml.read_text("utf-8")
    yaml.write_text(yaml.read_text("utf-8").replace(public, "public: unix:unused.sock"))
    with Recorder() as app, ExitStack() as stack:
        bob = Portal(tmp_path / "bob", "Bob")
        stack.callback(bob.release)
        bob.add_app("guestbook", files()["guestbook/app.json"], app.port)
        bob.knows(example.as_contact(), apps={"guestbook": "all"})
        bob.start()
        example.knows(bob.as_contact(mode="sealed"), apps={"guestbook": "all"})
        example.serve("guestbook.py")
        beside = Portal.launch(example)
        stack.callback(beside.wait)
        stack.callback(beside.terminate)
        wait_for_ports(beside, example.apps, log=example.log_file)
        token = ("Portal-Token", example.token("guestbook"))
        path = f"/internal/call_peer/{bob.id}/peer/entries"
        got = exchange(example.apps, request("GET", path, ("Host", "portal_core"), token))
        assert (got.status, got.body) == (200, b"ok")
        assert app.request.one("x-ptl-client-id").decode() == example.id
        # And the way back in, through the middleware.
        back = f"/internal/call_peer/{example.id}/peer/entries"
        raw = request("POST", back, ("Host", "portal_core"),
                      ("Portal-Token", bob.token("guestbook")), *JSON, body=SAID)  # fmt: skip
        assert exchange(bob.apps, raw).status in (201, 404)


# The public listener.


@pytest.mark.parametrize("server", _EACH)
def test_the_public_listener_serves_every_app(example: Example, server: str) -> None:
    with Recorder() as app:
        example.add_app("box", '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}',
                        app.port)  # fmt: skip
        example.serve("portal.py", [word.format("portal") for word in SERVERS[server]])
        stage = Stage(example, new_key(), "box")
        assert stage.ask("GET", "/a%2Fb?c").body == b"ok"
        assert app.request.target == b"/a%2Fb?c"
        assert stage.ask("GET", "/", app="guestbook").code == "proof_required"
        assert stage.ask("GET", "/", app="nosuch").code == "no_such_app"


def test_the_page_serves_it_with_uvicorn_as_the_tests_do() -> None:
    words = [word.format("portal") for word in SERVERS["uvicorn_h11"]]
    assert commands()["portal.py"] == [*words, "--no-server-header", "--no-date-header"]


def test_a_unix_socket_is_as_good(example: Example) -> None:
    path = example.folder / "public.sock"
    words = ["uvicorn", "guestbook:app", "--uds", str(path), "--http", "h11"]
    example.run("guestbook.py", words)
    eventually(path.exists)
    with socket.socket(socket.AF_UNIX) as opened:
        opened.settimeout(PATIENCE)
        eventually(lambda: _connects(opened, str(path)))
        host = example.app_host("guestbook")
        opened.sendall(request("GET", "/public/entries", ("Host", host)))
        assert b"200 OK" in opened.recv(1 << 16)


def _connects(opened: socket.socket, path: str) -> bool:
    try:
        opened.connect(path)
    except OSError:
        return False
    return True


def test_the_contact_list_may_be_empty(example: Example) -> None:
    stage = Stage(example.serve("guestbook.py"), new_key(), "guestbook")
    assert stage.call(b"GET", b"/public/entries").code == "not_allowed"
