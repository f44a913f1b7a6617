"""The fixture ``portals``: real proxies, each with an app, on this machine."""

import sys
from pathlib import Path

import pytest

from apps import echo, echo_in_wsgi
from portal_peers import NoSuchPeer, NotAllowed
from portal_peers.testing import Portals

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

    bob.allow("none")
    with pytest.raises(NotAllowed) as caught:
        peer.get("/peer/entries")
    assert caught.value.by == "peer"
    bob.allow(ada)
    ada.allow("none")
    assert ada.portal.peers() == []
    with pytest.raises(NoSuchPeer):
        peer.get("/peer/entries")


def test_three_portals_with_an_app_of_wsgi(portals: Portals) -> None:
    ada, bob, cleo = portals(echo_in_wsgi, names=["Ada", "Bob", "Cleo"], app_name="box")
    got = ada.peer(cleo).get("/peer/x").json()
    assert got == {"caller": ["peer", ada.id, "Ada"], "peers": ["Ada", "Bob"]}
    assert bob.visitor.get("/public/").json()["peers"] == ["Ada", "Cleo"]


def test_a_command_is_an_app_too(portals: Portals, tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(PLAIN_APP, "utf-8")
    ada, bob = portals([sys.executable, str(program)], paths={"": "peer"})
    (told,) = ada.peer(bob).get("/").json()
    assert told["id"] == ada.id
