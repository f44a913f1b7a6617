"""Clients that open tunnels, as their authors wrote them: what they ask arrives at the peer."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.wire.conftest import WIDE
from tests.wire.harness.portals import Portal, environment
from tests.wire.harness.raw import LOOPBACK
from tests.wire.harness.recorder import Recorder, eventually

_FOLDER = Path(__file__).with_name("node")
_HAS_NODE = shutil.which("node") and (_FOLDER / "node_modules" / "installed").exists()
_SENT = b"sent " * 20_000

pytestmark = pytest.mark.more
of_node = pytest.mark.skipif(
    not _HAS_NODE, reason="Node's clients aren't here: tests/more/set-up gets them from npm"
)


@dataclass(frozen=True)
class Two:
    """Ada, whose app ``wide`` calls Bob's."""

    ada: Portal
    bob: Portal
    app: Recorder

    @property
    def host(self) -> str:
        return self.bob.app_host("wide").partition(":")[0]

    @property
    def proxy(self) -> str:
        return f"http://wide:{self.ada.token('wide')}@{LOOPBACK}:{self.ada.apps}"

    def tunnels(self) -> int:
        """Return how many were opened, by Ada's log."""
        lines = self.ada.log.splitlines()
        return sum("CONNECT" in line and "answered" in line for line in lines)


@pytest.fixture(scope="module", params=["sealed", "signed"])
def two_(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("clients")
    ada, bob = Portal(folder / "ada", "Ada"), Portal(folder / "bob", "Bob")
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        for portal, other in ((ada, bob), (bob, ada)):
            stack.callback(portal.release)
            portal.add_app("wide", WIDE, app.port)
            portal.knows(other.as_contact(mode=request.param), apps={"wide": "all"})
            portal.start()
        yield Two(ada, bob, app)
        assert "Traceback" not in ada.log


@pytest.fixture
def two(two_: Two) -> Two:
    two_.app.clear()
    return two_


def node(two: Two, kind: str, *urls: str) -> list[dict[str, Any]]:
    set_for_all = {"HTTP_PROXY": two.proxy, "http_proxy": two.proxy, "NO_PROXY": ""}
    done = subprocess.run(
        ["node", _FOLDER / "tunnels.mjs", kind, two.proxy, *urls],
        env=environment() | set_for_all, capture_output=True, text=True, check=False,
        timeout=PATIENCE * 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


KINDS = (
    "undici ProxyAgent",
    "undici ProxyAgent that always tunnels",
    "undici ProxyAgent with Node's own fetch",
    "undici EnvHttpProxyAgent",
    "undici request",
    "https-proxy-agent",
    "https-proxy-agent that keeps",
    "axios",
    "node-fetch",
    "hpagent",
    "tunnel",
)


@of_node
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_client_of_nodes_asks_arrives_at_the_peer(two: Two, kind: str) -> None:
    before = two.tunnels()
    urls = [f"http://{two.host}/a%2Fb?c=%E4", f"http://{two.host}/second"]
    got = node(two, kind, *urls, "http://portal_core/protected/peers")

    assert [(each.get("status"), each.get("body")) for each in got[:4]] == [(200, "ok")] * 4, got
    assert [peer["name"] for peer in json.loads(got[4]["body"])] == ["Bob"]
    assert got[5]["status"] == 405  # nobody posts there
    seen = [(raw.first_line.split(b" ")[0], raw.target, raw.body) for raw in two.app.requests]
    assert seen == [
        (method, target, body)
        for target in (b"/a%2Fb?c=%E4", b"/second")
        for method, body in ((b"GET", b""), (b"POST", _SENT))
    ]
    eventually(lambda: two.tunnels() > before)


@of_node
@pytest.mark.parametrize("kind", ["undici ProxyAgent", "https-proxy-agent", "axios"])
def test_a_client_that_is_refused_fails_at_once(two: Two, kind: str) -> None:
    for got in node(two, kind, "http://elsewhere.example/", f"http://{two.host}:8080/"):
        assert "error" in got or got["status"] in (400, 403), got
    assert two.app.connections == 0
    assert "no_internet" in two.ada.log
    assert "bad_tunnel" in two.ada.log


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't here")
def test_curl_asks_through_a_tunnel(two: Two) -> None:
    tunnelled = ["curl", "-sS", "-m", "30", "--proxytunnel", "-x", two.proxy]
    urls = [f"http://{two.host}/one", f"http://{two.host}/two"]
    done = subprocess.run([*tunnelled, *urls], env=environment(), capture_output=True, check=True)
    assert done.stdout == b"okok"
    sent = subprocess.run(
        [*tunnelled, "--data-binary", "@-", "-H", "Expect: 100-continue", urls[0]],
        input=_SENT, env=environment(), capture_output=True, check=True,
    )  # fmt: skip
    assert sent.stdout == b"ok"
    assert two.app.requests[-1].body == _SENT
    refused = subprocess.run(
        [*tunnelled, f"https://{two.host}/"], env=environment(), capture_output=True, check=False
    )
    assert refused.returncode != 0
    assert b"403" in refused.stderr


def test_pythons_own_client_asks_through_a_tunnel(two: Two) -> None:
    """Up to Python 3.11 it speaks HTTP/1.0 with the proxy, and names no Host."""
    client = http.client.HTTPConnection(LOOPBACK, two.ada.apps, timeout=PATIENCE)
    pair = f"wide:{two.ada.token('wide')}".encode()
    shown = {"Proxy-Authorization": "Basic " + base64.b64encode(pair).decode()}
    client.set_tunnel(two.host, 80, shown)
    for method, body in (("GET", None), ("POST", _SENT)):
        client.request(method, "/x", body=body)
        got = client.getresponse()
        assert (got.status, got.read()) == (200, b"ok")
    client.close()
    assert [raw.body for raw in two.app.requests] == [b"", _SENT]
