"""Certificates from a real ACME server: the first one, renewals, and how they fail."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxy.state.acme_files import read_failure
from proxy.state.layout import State
from tests.cli.conftest import Home
from tests.cli.test_owner import NOBODY, Machine, as_root, owners
from tests.more.acme.pebble import Pebble, without_proxies
from tests.more.in_front.own_network import own_network
from tests.patience import PATIENCE
from tests.wire.harness.portals import end, reserve_port, wait_for_ports
from tests.wire.harness.raw import LOOPBACK, exchange, request, response
from tests.wire.harness.recorder import Recorder

pytestmark = pytest.mark.more

HOST = "portal.ada.example"
SHORT = 24
"""Seconds of a certificate that is renewed after sixteen of them, or fifteen."""


@dataclass
class Ada:
    """Her Portal's folders, and its proxy."""

    folder: Path
    pebble: Pebble
    _process: subprocess.Popen[bytes] | None = None
    _holders: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.public, self.apps, self.owner = (self._reserve() for _ in range(3))
        self.folder.mkdir()

    @property
    def state(self) -> State:
        return State(self.folder / "state")

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "backslashreplace")

    @property
    def environment(self) -> dict[str, str]:
        """What stands in portal.yaml elsewhere: other ports than the usual ones."""
        return {
            **without_proxies(),
            "PORTAL_PUBLIC_URL": f"https://{HOST}:{self.public}",
            "PORTAL_LISTEN_PUBLIC": f"{LOOPBACK}:{self.public}",
            "PORTAL_LISTEN_APPS": f"{LOOPBACK}:{self.apps}",
            "PORTAL_LISTEN_OWNER": f"{LOOPBACK}:{self.owner}",
            "PORTAL_ACME_LISTEN": f"{LOOPBACK}:{self.pebble.port80}",
            "PORTAL_ACME_AUTHORITIES": str(self.pebble.authorities),
            "PORTAL_ACME_DIRECTORY": self.pebble.directory,
            "PORTAL_ACME_AGREE": "true",
        }

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "proxy", *words], cwd=self.folder, text=True,
            env={**self.environment, **more}, stdin=subprocess.DEVNULL, capture_output=True,
            check=False, timeout=PATIENCE,
        )  # fmt: skip

    def init(self) -> subprocess.CompletedProcess[str]:
        """Run ``init --acme`` beside a portal.yaml, made without it the first time."""
        if not (self.folder / "config").exists():
            plain = {k: v for k, v in self.environment.items() if not k.startswith("PORTAL_")}
            subprocess.run(
                [sys.executable, "-m", "proxy", "init", "--name", "Ada", "--public-url",
                 f"https://{HOST}:{self.public}", "--no-app-hosts"],
                cwd=self.folder, env=plain, check=True, capture_output=True,
            )  # fmt: skip
        return self.run("init", "--acme")

    def start(self, workers: int = 1) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "serve", "--workers", str(workers)],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
            )  # fmt: skip
        ports = (self.public, self.apps, self.owner, self.pebble.port80)
        wait_for_ports(self._process, *ports, log=self.log_file)

    def stop(self) -> int:
        process, self._process = self._process, None
        return end(process, signal.SIGTERM) if process is not None else 0

    def release(self) -> None:
        with suppress(ProcessLookupError):
            self.stop()
        for holder in self._holders:
            holder.close()

    def shown(self, root: str) -> dict[str, Any]:
        """Return the certificate that the proxy shows, verified for the Portal's own host."""
        context = ssl.create_default_context(cadata=root)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection((LOOPBACK, self.public)) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            return dict(secure.getpeercert() or {})

    def is_good(self) -> bool:
        """Tell whether one is shown that is believed just now; some end within seconds."""
        try:
            return ("DNS", HOST) in self.shown(self.pebble.root())["subjectAltName"]
        except ssl.SSLError:
            return False

    def serial(self) -> str:
        """Return the number of the certificate that is shown, whoever signed it."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((LOOPBACK, self.public)) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            return (secure.getpeercert(binary_form=True) or b"").hex()

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json").stdout))

    def _reserve(self) -> int:
        holder, port = reserve_port()
        self._holders.append(holder)
        return port


@contextmanager
def before(folder: Path, life: int = 90 * 86_400) -> Iterator[Ada]:
    """Give Ada's Portal, to be certified by a Pebble of its own."""
    (folder / "pebble").mkdir()
    with Pebble(folder / "pebble", life) as pebble:
        ada = Ada(folder / "ada", pebble)
        try:
            yield ada
        finally:
            ada.release()


@pytest.fixture
def ada(tmp_path: Path) -> Iterator[Ada]:
    with before(tmp_path) as ada:
        yield ada


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Ada]:
    """Ada's Portal at an authority whose certificates are soon over."""
    with before(tmp_path, SHORT) as ada:
        yield ada


def until(is_so: Callable[[], object], log: Callable[[], str]) -> None:
    """Wait for what takes as long as a certificate lives."""
    end_at = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end_at, log()
        time.sleep(0.2)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_from_nothing_to_a_portal_with_a_certificate(ada: Ada) -> None:
    """By the command of docs/setup/acme.md; its terms are the authority's own."""
    words = [
        "init",
        "--name",
        "Ada",
        "--public-url",
        f"https://{HOST}:{ada.public}",
        "--no-app-hosts",
        "--acme",
        "--agree",
    ]
    words += ["--directory", ada.pebble.directory]
    done = ada.run(*words, REQUESTS_CA_BUNDLE=str(ada.pebble.authorities))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"The terms of {ada.pebble.directory}: data:text/plain" in done.stderr
    assert f"for {HOST}" in done.stdout
    text = (ada.folder / "config" / "portal.yaml").read_text()
    assert f"directory: {ada.pebble.directory}\n" in text
    for path in (ada.state.acme_account, ada.state.acme_certificate):
        assert mode(path) == 0o600
    assert mode(ada.state.acme) == 0o700
    assert ada.run("check").returncode == 0, ada.run("check").stdout
    ada.start()
    assert ("DNS", HOST) in ada.shown(ada.pebble.root())["subjectAltName"]
    certificate = ada.status()["certificate"]
    assert certificate["names"] == [HOST]
    assert certificate["renewal"] == {"directory": ada.pebble.directory, "failure": None}
    got = exchange(ada.pebble.port80, request("GET", "/a?b", ("Host", HOST)))
    assert got.one("location") == f"https://{HOST}:{ada.public}/a?b".encode()
    assert ada.stop() == 0
    assert "Traceback" not in ada.log


def test_a_second_init_asks_for_nothing(ada: Ada) -> None:
    first = ada.init()
    assert first.returncode == 0, first.stderr
    certificate = ada.state.acme_certificate.read_bytes()
    second = ada.init()
    assert second.returncode == 0
    assert "There      " in second.stdout
    assert ada.state.acme_certificate.read_bytes() == certificate


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_at_a_terminal_its_terms_are_agreed_to_or_nothing_is_made(
    ada: Ada, typed: str, status: int
) -> None:
    home = Home(ada.folder, ada.environment)
    words = ["init", "--name", "Ada", "--public-url", f"https://{HOST}:{ada.public}"]
    words += ["--no-app-hosts", "--acme", "--directory", ada.pebble.directory]
    bundle = {"REQUESTS_CA_BUNDLE": str(ada.pebble.authorities)}
    done = home.run_at_terminal(*words, answer=typed, **bundle)
    assert done.status == status, done.stderr
    assert "Do you agree to them? [y/N]" in done.stderr
    assert home.config.exists() == home.state.exists() == (status == 0)


@pytest.mark.parametrize("workers", [1, 3])
def test_it_is_renewed_without_a_restart_and_by_one_of_several(short: Ada, workers: int) -> None:
    assert short.init().returncode == 0
    account = short.state.acme_account.read_bytes()
    short.start(workers)
    seen = [short.serial()]

    def is_another() -> bool:
        serial = short.serial()
        if serial not in seen:
            seen.append(serial)
        return len(seen) >= 3

    with socket.create_connection((LOOPBACK, short.public)) as before_it:
        until(is_another, lambda: short.log)
        assert before_it.fileno() > 0
    assert short.log.count("a new certificate is asked for: it is old enough") < 5
    assert short.state.acme_account.read_bytes() == account
    until(short.is_good, lambda: short.log)
    assert short.stop() == 0
    assert "Traceback" not in short.log


def made(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command made."""
    assert done.returncode == 0, done.stderr
    return "".join(line for line in done.stdout.splitlines() if line.startswith("Made"))


def test_an_authority_that_is_gone_ends_nothing_and_is_asked_again_later(short: Ada) -> None:
    assert short.init().returncode == 0
    short.pebble.stop()
    short.start()
    told = "no new certificate: 127.0.0.1 can't be reached"
    until(lambda: told in short.log, lambda: short.log)
    failure = read_failure(short.state.acme_failure)
    assert failure is not None
    assert "127.0.0.1 can't be reached" in failure.reason
    assert failure.next_try >= failure.at + 15 * 60
    shown = short.status()["certificate"]["renewal"]["failure"]
    assert shown["reason"] == failure.reason
    assert "warning: " in short.run("check").stdout
    # It serves on, with what it has.
    assert short.serial()
    short.stop()
    # Its owner needn't wait, and an authority that forgot us knows us again.
    short.pebble.start()
    until(lambda: "acme/certificate.pem, until" in made(short.init()), lambda: short.log)
    assert read_failure(short.state.acme_failure) is None
    short.start()
    until(short.is_good, lambda: short.log)


def test_somebody_else_at_port_80_is_told(ada: Ada) -> None:
    assert ada.init().returncode == 0
    ada.state.acme_certificate.unlink()
    with Recorder() as other:
        other.script(response(200, body=b"a page of somebody's"))
        # As where the name leads elsewhere: ours listens, and another one is asked.
        ada.pebble.stop()
        settings = json.loads((ada.pebble.folder / "pebble.json").read_text())
        settings["pebble"]["httpPort"] = other.port
        (ada.pebble.folder / "pebble.json").write_text(json.dumps(settings))
        ada.pebble.start()
        done = ada.run("init", "--acme")
    assert done.returncode == 1
    assert f"at http://{HOST}/ somebody else answered" in done.stderr
    assert not ada.state.acme_certificate.exists()


def test_a_closed_port_80_is_told(ada: Ada) -> None:
    holder, closed = reserve_port()
    with holder:
        ada.init()
        ada.state.acme_certificate.unlink()
        done = ada.run("init", "--acme", PORTAL_ACME_LISTEN=f"{LOOPBACK}:{closed}")
    assert done.returncode == 1
    assert f"127.0.0.1 couldn't connect to http://{HOST}/" in done.stderr
    assert f"http://127.0.0.1:{closed} of this machine" in done.stderr


def test_a_name_without_an_address_is_told(ada: Ada) -> None:
    ada.pebble.nameserver.names.clear()
    done = ada.init()
    assert done.returncode == 1
    assert "no certificate: 127.0.0.1 " in done.stderr
    assert HOST in done.stderr


def test_an_authority_whose_certificate_isnt_believed_is_told(ada: Ada) -> None:
    ada.init()
    ada.state.acme_certificate.unlink()
    wrong = ada.folder / "wrong.pem"
    wrong.write_text(ada.pebble.root())
    done = ada.run("init", "--acme", PORTAL_ACME_AUTHORITIES=str(wrong))
    assert done.returncode == 1
    assert "acme.authorities" in done.stderr


def test_several_names_are_one_certificate(tmp_path: Path) -> None:
    (tmp_path / "pebble").mkdir()
    app = f"guestbook.{HOST}"
    with Pebble(tmp_path / "pebble", names=(HOST, app)) as pebble:
        ada = Ada(tmp_path / "ada", pebble)
        try:
            ada.init()
            done = ada.run("init", "--acme", PORTAL_APP_HOSTS="true", PORTAL_ACME_NAMES=app)
            assert done.returncode == 0, done.stderr
            assert f"for {HOST}, {app}" in done.stdout
            assert "There      " not in done.stdout
        finally:
            ada.release()


def test_a_damaged_account_is_told_with_its_file(ada: Ada) -> None:
    ada.init()
    ada.state.acme_certificate.unlink()
    ada.state.acme_account.write_text("{")
    done = ada.run("init", "--acme")
    assert done.returncode == 1
    assert "account.json" in done.stderr
    assert "delete the file" in done.stderr
    assert ada.state.acme_account.read_text() == "{"


def test_serve_init_gets_the_first_one(ada: Ada) -> None:
    ada.init()
    ada.state.acme_certificate.unlink()
    with ada.log_file.open("ab") as log:
        ada._process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "serve", "--init"], cwd=ada.folder,
            env=ada.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    wait_for_ports(ada._process, ada.public, log=ada.log_file)
    assert ("DNS", HOST) in ada.shown(ada.pebble.root())["subjectAltName"]


@as_root
def test_root_asks_at_port_80_and_what_is_got_is_the_owners() -> None:
    with tempfile.TemporaryDirectory() as name, own_network():
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pebble").mkdir()
        with Pebble(folder / "pebble", port80=80) as pebble:
            asking = {
                "PORTAL_ACME_DIRECTORY": pebble.directory,
                "PORTAL_ACME_AGREE": "true",
                "PORTAL_ACME_AUTHORITIES": str(pebble.authorities),
            }
            home = Machine(folder, without_proxies())
            words = ("--name", "Ada", "--public-url", f"https://{HOST}", "--no-app-hosts")
            assert home.run("init", *words).status == 0
            for path in (home.state, *home.state.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
            done = home.run("init", "--acme", **asking)
            found = owners(home)
    assert done.status == 0, done.stderr
    assert f"for {HOST}" in done.stdout
    assert found == {NOBODY}
