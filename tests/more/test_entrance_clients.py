"""Clients that know nothing of proxies, on an app's own network: they ask ``portal_core``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.wire.conftest import WIDE
from tests.wire.harness.networks import APPS, Networks, own_networks
from tests.wire.harness.portals import Portal
from tests.wire.harness.recorder import Recorder, eventually

pytestmark = pytest.mark.more

_NODE_FETCH = """
const call = (path, how) => fetch("http://portal_core" + path, how);
(async () => {
  const peers = await (await call("/protected/peers")).json();
  const got = await call(`/internal/call_peer/${peers[0].id}/hello`, {method: "POST", body: "Hi"});
  console.log(got.status, await got.text());
})();
"""
_NODE_HTTP = """
const http = require("http");
const ask = (how, body, then) => http.request({host: "portal_core", ...how}, (got) => {
  let said = "";
  got.on("data", (piece) => said += piece).on("end", () => then(got.statusCode, said));
}).end(body);
ask({path: "/protected/peers"}, "", (_, peers) => {
  const path = `/internal/call_peer/${JSON.parse(peers)[0].id}/hello`;
  ask({path, method: "POST"}, "Hi", (status, said) => console.log(status, said));
});
"""
_URLLIB = """
import json, urllib.request
core = "http://portal_core"
(peer,) = json.load(urllib.request.urlopen(core + "/protected/peers"))
got = urllib.request.urlopen(core + f"/internal/call_peer/{peer['id']}/hello", data=b"Hi")
print(got.status, got.read().decode())
"""
_CURL = """
id=$(curl --fail --silent http://portal_core/protected/peers | cut -d'"' -f4)
curl --silent --data Hi --write-out '%{stderr}%{http_code}' http://portal-core/internal/call_peer/$id/hello
"""


@dataclass
class Stage:
    """A Portal whose app has an entrance at port 80, and a peer."""

    networks: Networks
    folder: Path
    bob_app: Recorder

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program where the app is, with the names that its network has."""
        hosts = self.folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{APPS} portal_core portal-core shard_core\n")
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(hosts)]
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with self.networks.as_if(self.networks.app):
            return subprocess.run(
                [*inside, *command], env=environment, capture_output=True, text=True,
                check=False, timeout=PATIENCE,
            )  # fmt: skip


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    with own_networks() as networks, Recorder() as bob_app, Recorder() as app:
        bob, ada = Portal(folder / "bob", "Bob"), Portal(folder / "ada", "Ada")
        bob.add_app("wide", WIDE, bob_app.port)
        ada.add_app("wide", WIDE, app.port, f"entrance: {APPS}:80\n")
        bob.knows(ada.as_contact(mode="sealed"), apps={"wide": "all"})
        ada.knows(bob.as_contact(mode="sealed"), apps={"wide": "all"})
        try:
            bob.start()
            ada.start()
            eventually(lambda: "the entrance of wide is open" in ada.log)
            yield Stage(networks, folder, bob_app)
        finally:
            ada.release()
            bob.release()


@pytest.mark.parametrize(
    "command",
    [
        ("node", "-e", _NODE_FETCH),
        ("node", "-e", _NODE_HTTP),
        (sys.executable, "-c", _URLLIB),
        ("sh", "-c", _CURL),
    ],
    ids=["Node fetch", "Node http", "urllib", "curl"],
)
def test_it_calls_a_peer_unchanged(stage: Stage, command: tuple[str, ...]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    stage.bob_app.clear()
    done = stage.run(*command)
    assert done.stdout.strip().endswith("ok"), done.stdout + done.stderr
    assert "200" in done.stdout + done.stderr
    assert stage.bob_app.request.body == b"Hi"
    assert stage.bob_app.request.target == b"/hello"
