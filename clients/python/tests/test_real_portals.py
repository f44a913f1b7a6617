"""The fixture ``portals``: real proxies, each with an app, on this machine."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from apps import echo, echo_in_wsgi
from portal_peers import (
    CallBrokenOff,
    NoSuchPeer,
    NotAllowed,
    Peer,
    Portal,
    TokenRefused,
    from_environment,
)
from portal_peers.app_servers import NotStarted
from portal_peers.testing import Portals, PortalUnderTest

pytestmark = pytest.mark.more

PLAIN_APP = """
import http.server, json, os, urllib.request
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen("http://portal_core/protected/peers") as answer:
            body = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
"""


def test_two_portals_know_each_other_and_their_owners(portals: Portals) -> None:
    ada, bob = portals(echo)
    (peer,) = ada.portal.peers()
    assert (peer.id, peer.name, peer.is_reachable) == (bob.id, "Bob", True)

    got = peer.post("/peer/entries", json={"text": "Hello!"}).json()
    assert got["caller"] == ["peer", ada.id, "Ada"]
    assert got["body"] == '{"text":"Hello!"}'

    assert ada.visitor.get("/public/x").json()["caller"] == ["anonymous", "", ""]
    assert ada.visitor.get("/").status_code == 401
    kind, _, name = ada.owner.get("/").json()["caller"]
    assert (kind, name) == ("terminal", "Test")
    assert ada.owner.post("/").status_code == 200
    assert ada.visitor.get("/public/peers").json() == ["Bob"]
    assert bob.visitor.get("/public/peers").json() == ["Ada"]

    (line,) = bob.log(listener="public", caller="peer", path="/peer/entries")
    assert (line["status"], line["mode"], line["caller_id"]) == (200, "sealed", ada.id)

    _streams(peer)
    _is_found_by_its_environment(ada)

    bob.allow("none")
    with pytest.raises(NotAllowed) as caught:
        peer.get("/peer/entries")
    assert caught.value.by == "peer"
    bob.allow(ada)
    ada.allow("none")
    assert ada.portal.peers() == []
    with pytest.raises(NoSuchPeer):
        peer.get("/peer/entries")


def _streams(peer: Peer) -> None:
    upload = peer.put("/peer/x", content=io.BytesIO(b"x" * 3_000_000))
    assert len(upload.json()["body"]) == 3_000_000
    pieces = (b"y" * 1000 for _ in range(100))
    assert len(peer.put("/peer/x", content=pieces).json()["body"]) == 100_000
    with peer.stream("GET", "/peer/many") as response:
        assert b"".join(response.iter_bytes()) == b"a" * 50_000
    received = b""
    with pytest.raises(CallBrokenOff), peer.stream("GET", "/peer/broken") as response:  # noqa: PT012
        for piece in response.iter_bytes():
            received += piece
    assert len(received) <= 1000


def _is_found_by_its_environment(ada: PortalUnderTest) -> None:
    environment = ada.environment
    for names in (("HTTP_PROXY",), ("PORTAL_CORE_URL", "PORTAL_TOKEN")):
        settings = from_environment({name: environment[name] for name in names})
        with Portal(settings=settings) as portal:
            assert portal.whoareyou()["id"] == ada.id
            assert len(portal.peers()) == 1
    with Portal(ada.settings.url, token="wrong") as portal, pytest.raises(TokenRefused) as caught:
        portal.peers()
    assert (caught.value.code, caught.value.by) == ("token_unknown", "portal")


def test_three_portals_with_an_app_of_wsgi(portals: Portals) -> None:
    ada, bob, cleo = portals(echo_in_wsgi, names=["Ada é 🎈", "Bob", "Cleo"], app_name="box")
    got = ada.peer(cleo).get("/peer/x").json()
    assert got == {"caller": ["peer", ada.id, "Ada é 🎈"], "peers": ["Ada é 🎈", "Bob"]}
    assert bob.visitor.get("/public/").json()["peers"] == ["Ada é 🎈", "Cleo"]


def test_a_command_is_an_app_too(portals: Portals, tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(PLAIN_APP, "utf-8")
    ada, bob = portals([sys.executable, str(program)], paths={"": "peer"})
    (told,) = ada.peer(bob).get("/").json()
    assert told["id"] == ada.id


def test_a_mistake_in_the_apps_file_is_told_with_its_place(portals: Portals) -> None:
    with pytest.raises(NotStarted, match=r"paths\.peer: expected a path prefix"):
        portals(echo, paths={"peer": "peer"})


@pytest.mark.parametrize(
    ("app", "more", "told"),
    [
        ("uvicorn app:app", {}, "a command is a list of words"),
        (["https://127.0.0.1:1", "unix:/a"], {"names": ["A", "B", "C"]}, "need as many"),
        (echo, {"names": []}, "give one at least"),
        (echo, {"app_name": "Über"}, "'Über' isn't one"),
        (echo, {"app_json": "app.json", "paths": {"": "peer"}}, "in app.json or in paths"),
        (None, {}, "an app or a factory"),
    ],
)
def test_what_cant_be_meant_is_refused_before_anything_starts(
    tmp_path: Path, app: Any, more: dict[str, Any], told: str
) -> None:
    with Portals(tmp_path) as made, pytest.raises(ValueError, match=told):
        made(app, **more)
    assert list(tmp_path.iterdir()) == []
