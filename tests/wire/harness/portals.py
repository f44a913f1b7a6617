"""A Portal in a folder of its own, run as a process of its own (``python -m proxy serve``)."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proxy.core.access.policy import Contact, ContactList
from proxy.core.identity import PrivateKey, short_id
from proxy.state.contacts import ContactStore
from proxy.state.files import make_private_folder
from proxy.state.identity_key import create_identity
from proxy.state.replay import ReplayStore
from proxy.state.replay_file import connect, read_stand
from proxy.state.tokens import TokenStore
from tests.patience import PATIENCE
from tests.wire.harness import preloaded
from tests.wire.harness.raw import LOOPBACK, exchange, request
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from proxy.core.access.policy import Mode

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-m", "proxy"]
DOMAIN = "portal.localhost"
_PORTAL_YAML = """\
id: {id}
name: {name}
domain: {domain}
public_url: http://{{short_id}}.{domain}:{public}
aliases: [{aliases}]
{settings}state: ../state
listen: {{public: "127.0.0.1:{listen}", apps: "127.0.0.1:{apps}", owner: "127.0.0.1:{owner}"}}
"""


def reserve_port() -> tuple[socket.socket, int]:
    """Return a free port, and the socket that keeps it free until it is closed.

    Bound and not listening, with SO_REUSEADDR: nobody is given the port, and a proxy that asks
    for it gets it.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, 0))
    return holder, holder.getsockname()[1]


def environment() -> dict[str, str]:
    """Return this process's environment for a proxy: our sources, nobody's HTTP proxy."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    # Else each process compiles all of our sources anew, which takes as long as all else it does.
    for name in ("PORTAL_CONFIG", "PYTHONDONTWRITEBYTECODE"):
        kept.pop(name, None)
    return {**kept, "PYTHONPATH": str(ROOT)}


@dataclass
class Portal:
    """One Portal; ``clock_shift`` is how many seconds its clock is ahead.

    ``settings`` are further lines of portal.yaml. By default both modes are accepted, though the
    public address is plain http.
    """

    MISTAKE: ClassVar[str] = "Traceback"
    """What stands in the log where we made a mistake."""

    folder: Path
    name: str
    aliases: str = ""
    clock_shift: int = 0
    settings: str = "accept: [sealed, signed]\n"
    workers: int = 1
    key: PrivateKey = field(init=False)
    _holders: list[socket.socket] = field(default_factory=list, repr=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        make_private_folder(self.state)
        self.key = create_identity(self.state / "identity.key")
        self.public, self.apps, self.owner = (self._port() for _ in range(3))
        self.write_config(self.config)
        ContactStore(self.state / "contacts.yaml", DOMAIN).create()
        store = ReplayStore(self.state / "replay.sqlite3")
        store.open(time.time() + self.clock_shift)
        store.close()

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    @property
    def id(self) -> str:
        return self.key.public.portal_id

    @property
    def epoch(self) -> bytes:
        """Under which calls to it are signed just now."""
        with closing(connect(self.state / "replay.sqlite3", 1)) as store:
            return read_stand(store).epoch

    @property
    def host(self) -> str:
        """The Portal's own authority."""
        return f"{short_id(self.id)}.{DOMAIN}:{self.public}"

    def app_host(self, app: str) -> str:
        """Return an app's authority."""
        return f"{app}.{self.host}"

    def told_host(self, app: str) -> str:
        """Return what an app is told as its host when a peer asks it: without the port."""
        return self.app_host(app).partition(":")[0]

    def write_config(self, folder: Path, *, listen: tuple[int, int, int] | None = None) -> None:
        """Write portal.yaml; ``listen`` gives the listeners other ports than the usual."""
        folder.mkdir(parents=True, exist_ok=True)
        where = listen or (self.public, self.apps, self.owner)
        text = _PORTAL_YAML.format(
            id=self.id, name=self.name, domain=DOMAIN, public=self.public, aliases=self.aliases,
            settings=self.settings, listen=where[0], apps=where[1], owner=where[2],
        )  # fmt: skip
        (folder / "portal.yaml").write_text(text, encoding="utf-8")

    def add_app(self, name: str, manifest: str, upstream: int, settings: str = "") -> None:
        """Add an app that is behind the port ``upstream``."""
        folder = self.config / "apps" / name
        folder.mkdir(parents=True)
        (folder / "app.json").write_text(manifest, encoding="utf-8")
        yaml = f"upstream: http://{LOOPBACK}:{upstream}\n{settings}"
        (folder / "proxy.yaml").write_text(yaml, encoding="utf-8")

    def knows(
        self,
        *peers: Contact,
        apps: Mapping[str, frozenset[str] | Literal["all", "none"]],
    ) -> None:
        """Write the contact list, as the owner's commands would."""
        store = ContactStore(self.state / "contacts.yaml", DOMAIN)
        store.change(lambda _: ContactList(peers, apps))

    def as_contact(self, *, connect: int | None = None, mode: Mode = "signed") -> Contact:
        """Return this Portal as another one's contact, called in ``mode``."""
        return contact(self.id, self.name, self.public, connect or self.public, mode)

    def token(self, app: str) -> str:
        return TokenStore(self.state / "tokens").token(app)

    def command_line(self, *words: str, config: Path | None = None) -> list[str]:
        """Return how to run a command on this Portal, at its time."""
        start = PROGRAM
        if self.clock_shift:
            shifted = Path(__file__).with_name("shifted.py")
            start = [sys.executable, str(shifted), str(self.clock_shift)]
        elif os.geteuid() != 0:
            start = [sys.executable, str(Path(__file__).with_name("traceable.py"))]
        return [*start, "--config", str(config or self.config), *words]

    def _serve(self, config: Path | None) -> list[str]:
        return self.command_line("serve", "--workers", str(self.workers), config=config)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        if self.clock_shift:
            return subprocess.run(
                self.command_line(*words), env=environment(), capture_output=True, text=True,
                check=False, timeout=PATIENCE,
            )  # fmt: skip
        words = ("--config", str(self.config), *words)
        done = preloaded.run(*words, environment=environment(), folder=self.folder)
        return subprocess.CompletedProcess(
            words, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def launch(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        """Start ``serve`` without waiting for anything."""
        line = self._serve(config)
        if line[: len(PROGRAM)] != PROGRAM:
            return self.launch_anew(config)
        with self.log_file.open("ab") as log, Path(os.devnull).open("rb") as nothing:
            return preloaded.Started(
                *line[len(PROGRAM) :], environment=environment(), folder=Path.cwd(),
                streams=[nothing.fileno(), log.fileno(), log.fileno()],
            )  # fmt: skip

    def launch_anew(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        """The same, by a new interpreter as an owner's is: it takes ten times the CPU."""
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                self._serve(config), env=environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def start(self) -> Portal:
        """Start the proxy and wait until each listener takes connections."""
        self._process = self.launch()
        wait_for_ports(self._process, self.public, self.apps, self.owner, log=self.log_file)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the proxy; return its exit status."""
        process, self._process = self._process, None
        return end(process, number) if process is not None else 0

    def release(self) -> None:
        """End the proxy if it runs, and let go of the ports."""
        self.stop()
        for holder in self._holders:
            holder.close()

    def memory(self) -> int:
        """Return how many bytes of memory the running proxy has in use."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Return the most bytes of memory that it had in use since ``forget_peak``."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let ``peak`` begin anew."""
        self._proc("clear_refs").write_text("5", "ascii")

    def _status(self, name: str) -> int:
        lines = self._proc("status").read_text("ascii").splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def _proc(self, name: str) -> Path:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}")

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "backslashreplace")

    def settled_log(self) -> str:
        """Return the log, once it has the lines of all that was answered before.

        A thread writes them, in their order: a request of our own comes behind them. Of several
        workers each has a thread, so there it tells nothing.
        """
        mark = f"/{secrets.token_hex(8)}"
        exchange(self.public, request("GET", mark, ("Host", self.host)))
        eventually(lambda: mark in self.log.rpartition("\n")[0])
        return self.log

    def lines(self, **facts: object) -> list[dict[str, Any]]:
        """Return the lines of the log that have these members, in their order."""
        whole = self.log.rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in found if facts.items() <= line.items()]

    def _port(self) -> int:
        holder, port = reserve_port()
        self._holders.append(holder)
        return port


def contact(portal_id: str, name: str, public: int, connect: int, mode: Mode = "signed") -> Contact:
    """Return a contact whose own host is at the port ``public``, found at ``connect``."""
    address = f"http://{short_id(portal_id)}.{DOMAIN}:{public}"
    return Contact(portal_id, name, address, f"{LOOPBACK}:{connect}", mode)


def wait_for_ports(process: subprocess.Popen[bytes], *ports: int, log: Path) -> None:
    """Wait until every port takes connections; fail with the log where the process ends first."""
    end_at = time.monotonic() + PATIENCE
    for port in ports:
        while True:
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
            except OSError:
                assert process.poll() is None, log.read_text("utf-8", "backslashreplace")
                assert time.monotonic() < end_at, log.read_text("utf-8", "backslashreplace")
                time.sleep(0.02)
            else:
                break


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    """End a process; return its exit status."""
    process.send_signal(number)
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
