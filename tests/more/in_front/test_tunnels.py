"""docs/setup/tunnels.md with a real ssh and sshd: the call arrives, and the tunnel sees nothing."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import authority, write_pair
from tests.more.in_front.own_network import own_network
from tests.more.in_front.street import Fronted
from tests.more.in_front.web_servers import SETUP
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal, end, environment, wait_for_ports
from tests.wire.harness.raw import LOOPBACK, exchange, request, response
from tests.wire.harness.recorder import Recorder, Relay, eventually

pytestmark = pytest.mark.more

NAME = "portal.ada.example"
PORT = 8443
SSH_PORT = 22
SECRET = b"what only Bob may read "


@dataclass
class Tunnel:
    """Ada's Portal at home, Bob's elsewhere, and a rented machine between them."""

    ada: Fronted
    bob: Portal
    app: Recorder
    seen: Relay
    """What went by at the rented machine: Bob connects to it."""


def example(name: str) -> str:
    """Return an example of the page, as it stands there."""
    page = (SETUP / "tunnels.md").read_text("utf-8")
    (found,) = re.findall(rf"<!-- file: {name} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module", params=["TLS of its own", "no TLS at all"])
def tunnel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tunnel]:
    sshd = shutil.which("sshd", path="/usr/sbin")
    if sshd is None or shutil.which("ssh") is None or os.geteuid() != 0:
        pytest.skip("no sshd and ssh here, or not root")
    folder = tmp_path_factory.mktemp("tunnel")
    secure = request.param == "TLS of its own"
    with own_network(), pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        _run_sshd(sshd, folder, stack)
        app = stack.enter_context(Recorder())
        ada = _ada(folder / "ada", secure=secure)
        bob = Portal(folder / "bob", "Bob")
        stack.callback(bob.release)
        stack.callback(ada.release)
        seen = stack.enter_context(Relay(PORT))
        for portal in (ada, bob):
            portal.add_app("notes", SITE, app.port)
        ada.knows(bob.as_contact(mode="sealed"), apps={"notes": "all"})
        bob.knows(ada.as_contact(connect=seen.port), apps={"notes": "all"})
        (folder / "ca.pem").write_bytes(authority().pem)
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        ada.start()
        _open_tunnel(folder, stack)
        bob.start()
        yield Tunnel(ada, bob, app, seen)


def _ada(folder: Path, *, secure: bool) -> Fronted:
    scheme = "https" if secure else "http"
    settings = "app_hosts: false\n"
    if secure:
        settings += "tls: {certificate: fullchain.pem, key: privkey.pem}\n"
    ada = Fronted(folder, "Ada", settings=settings, called=f"{NAME}:{PORT}", scheme=scheme)
    if secure:
        write_pair(ada.config, authority().issue(NAME))
    return ada


def _run_sshd(sshd: str, folder: Path, stack: ExitStack) -> None:
    """Run one of the test's own keys, file and port, with the page's section at its end."""
    for key in ("host", "client"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True
        )
    shutil.copy(folder / "client.pub", folder / "authorized_keys")
    Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself up; empty
    user = getpass.getuser()
    config = folder / "sshd_config"
    config.write_text(
        f"Port {SSH_PORT}\nListenAddress {LOOPBACK}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        + example("sshd_config").replace("Match User tunnel", f"Match User {user}")
    )
    _run([sshd, "-D", "-e", "-f", str(config)], folder / "sshd.log", SSH_PORT, stack)


def _open_tunnel(folder: Path, stack: ExitStack) -> None:
    words = example("ssh").replace(f"tunnel@{NAME}", f"{getpass.getuser()}@{LOOPBACK}").split()
    own = [
        "-F", "none", "-i", str(folder / "client"), "-o", "IdentitiesOnly=yes",
        "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known_hosts",
    ]  # fmt: skip
    _run([words[0], *own, *words[1:]], folder / "ssh.log", PORT, stack)


def _run(command: list[str], log_file: Path, port: int, stack: ExitStack) -> None:
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    stack.callback(end, process)
    wait_for_ports(process, port, log=log_file)


def test_a_call_gets_through_and_the_tunnel_sees_nothing_of_it(tunnel: Tunnel) -> None:
    body = SECRET * 100_000
    tunnel.app.clear()
    tunnel.seen.clear()
    tunnel.app.script(response(200, body=body))
    fields = (("Host", "portal_core"), ("Portal-Token", tunnel.bob.token("notes")))
    target = f"/internal/call_peer/{tunnel.ada.id}/for/ada?only=1"
    got = exchange(tunnel.bob.apps, request("PUT", target, *fields, body=body))
    assert (got.status, got.body == body) == (200, True)
    assert tunnel.app.request.body == body
    assert tunnel.app.request.one("x-ptl-client-id") == tunnel.bob.id.encode()
    eventually(lambda: len(tunnel.seen.sent) > len(body) < len(tunnel.seen.answered))
    carried = bytes(tunnel.seen.sent + tunnel.seen.answered)
    for word in (SECRET, b"for/ada", b"only=1", b"notes", tunnel.bob.id.encode()):
        assert word not in carried


def test_ping_finds_nothing_wrong(tunnel: Tunnel) -> None:
    done = subprocess.run(
        tunnel.bob.command_line("ping", "Ada", "--timeout", "60"), env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
