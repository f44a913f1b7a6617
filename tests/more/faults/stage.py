"""The Portals that faults happen to: Bob, who is called, and Ada and Eda, who call him."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal, contact, end, environment
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import new_key, sign_call

from .ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.identity import PrivateKey

CLOSED = '{"v": "3.2", "port": 80, "paths": {"": {"access": "private"}}}'
OPEN = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}'
FINE = ("ok",) * 3
PEERS = '{"v": "3.2", "port": 80, "paths": {"": {"access": "peer"}}}'


@dataclass
class Placed(Portal):
    """A Portal whose process is started by ``before``, with ``more`` in its environment."""

    before: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)
    said_to: int | None = None
    """Where its log goes; a file by default."""
    log_at: Path | None = None
    """The file, where it isn't in the folder."""

    @property
    def log_file(self) -> Path:
        return self.log_at or self.folder / "log"

    def launch(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            out = self.said_to or log
            return subprocess.Popen(
                [*self.before, *self.command_line("serve", "--workers", str(self.workers),
                                                  config=config)],
                env=environment() | self.more, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, started as the proxy is."""
        return subprocess.run(
            [*self.before, *self.command_line(*words)], env=environment() | self.more,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def children(self) -> list[int]:
        """The process IDs of its workers."""
        file = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        try:
            return [int(word) for word in file.read_text("ascii").split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send the first process a signal."""
        os.kill(self.pid, number)

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def wait(self) -> int:
        """Wait for the process to end; return its status."""
        process, self._process = self._process, None
        assert process is not None
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def kill(self) -> None:
        """End the first process at once."""
        process, self._process = self._process, None
        if process is not None:
            end(process, signal.SIGKILL)

    def end_all(self) -> None:
        """End it and its workers at once, one that is stopped too."""
        if self._process is None:
            return
        workers = self.children
        self.kill()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        eventually(lambda: not any(map(is_running, workers)))

    def restart(self) -> None:
        """End it, and start it again."""
        self.stop()
        self.start()

    def tells(self, *words: str) -> bool:
        """Tell whether ``/health`` has a problem that holds all these words."""
        return any(all(word in problem for word in words) for problem in self.health())

    def health(self) -> list[str]:
        """Return the problems that ``/health`` tells."""
        got = exchange(self.owner, request("GET", "/health", ("Host", "localhost")))
        return list(got.json()["problems"])


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def outcome(got: Raw) -> str:
    """Return ``ok``, or the refusal."""
    return "ok" if got.status == 200 else f"{got.status} {got.code}"


@dataclass
class Stage:
    """Bob; Ada, who calls him signed; Eda, who calls him sealed; the app behind Bob."""

    bob: Placed
    ada: Placed
    eda: Placed
    app: Ledger
    friend: PrivateKey
    """A contact of Bob's that is only a key."""
    asked: int = 0

    @property
    def portals(self) -> tuple[Placed, ...]:
        return self.bob, self.ada, self.eda

    def call(self, caller: Placed, method: str = "POST") -> str:
        """Have an app of the caller's call Bob's app, with something to be done once."""
        number, body = self.app.next_body()
        fields = (("Host", "portal_core"), ("Portal-Token", caller.token("peers")))
        path = f"/internal/call_peer/{self.bob.id}/do/{number}"
        got = exchange(caller.apps, request(method, path, *fields, body=body))
        if got.status == 200:
            assert self.app.done[number] == 1
        return outcome(got)

    def signed(self) -> str:
        return self.call(self.ada)

    def sealed(self) -> str:
        return self.call(self.eda)

    def stranger(self) -> str:
        number, body = self.app.next_body()
        host = ("Host", self.bob.app_host("open"))
        got = exchange(self.bob.public, request("POST", f"/do/{number}", host, body=body))
        return outcome(got)

    def record(self, now: float | None = None) -> tuple[int, bytes]:
        """Return the number and the bytes of a signed call, which somebody on the way recorded."""
        number, body = self.app.next_body()
        target = b"/do/%d" % number
        call = sign_call(self.friend, self.bob, "peers", target, method=b"POST", body=body, now=now)
        return number, call.raw

    def acknowledged(self, clock: Callable[[], float]) -> tuple[int, bytes]:
        """Return a call likewise that was sent and carried out.

        A new epoch may begin meanwhile, for instance where a busy machine stood still; an honest
        caller then signs anew.
        """
        made: list[tuple[int, bytes]] = []

        def passes() -> bool:
            made.append(self.record(clock()))
            return self.send(made[-1][1]) == "ok"

        eventually(passes)
        return made[-1]

    def send(self, raw: bytes) -> str:
        """Send bytes to Bob; return what came of it."""
        return outcome(exchange(self.bob.public, raw))

    def all_ways(self) -> tuple[str, str, str]:
        """Return what becomes of a signed call, a sealed one and a stranger's request."""
        return self.signed(), self.sealed(), self.stranger()

    def strangers_pass(self) -> None:
        """Wait until they do; until then a connection may be one too many, and break off."""

        def passes() -> bool:
            with suppress(OSError, EOFError):
                return self.stranger() == "ok"
            return False

        eventually(passes)

    def recovers(self) -> None:
        """Wait until all of them pass, and hold that they go on to."""
        end, got = time.monotonic() + PATIENCE, FINE
        while True:
            with suppress(OSError, EOFError):
                if all((got := self.all_ways()) == FINE for _ in range(3)):
                    return
            assert time.monotonic() < end, f"they never passed again: {got}"
            time.sleep(0.05)


@contextmanager
def on_stage(
    folder: Path, *, settings: str = "", workers: int = 1, bobs: Path | None = None
) -> Iterator[Stage]:
    """Give the cast, not running yet; ``settings`` and ``workers`` are Bob's, as is the folder
    ``bobs``.
    """
    with ExitStack() as stack:
        app = stack.enter_context(Ledger())
        accept = "accept: [sealed, signed]\n"
        bob = Placed(bobs or folder / "bob", "Bob", settings=accept + settings, workers=workers)
        bob.log_at = folder / "bob.log"
        ada, eda = (Placed(folder / name.lower(), name) for name in ("Ada", "Eda"))
        friend = new_key()
        for portal in (bob, ada, eda):
            stack.callback(portal.release)
            stack.callback(portal.end_all)
            for name, manifest in (("open", OPEN), ("peers", PEERS), ("closed", CLOSED)):
                portal.add_app(name, manifest, app.port)
        theirs = contact(friend.public.portal_id, "Friend", 9, 9)
        bob.knows(ada.as_contact(), eda.as_contact(), theirs, apps={"peers": "all"})
        ada.knows(bob.as_contact(mode="signed"), apps={"peers": "all"})
        eda.knows(bob.as_contact(mode="sealed"), apps={"peers": "all"})
        yield Stage(bob, ada, eda, app, friend)
        for portal in (bob, ada, eda):
            if portal.log_file.exists():
                assert portal.MISTAKE not in portal.log, portal.log


@contextmanager
def running(folder: Path, *, settings: str = "", workers: int = 1) -> Iterator[Stage]:
    """Give the cast, running."""
    with on_stage(folder, settings=settings, workers=workers) as stage:
        for portal in stage.portals:
            portal.start()
        eventually(lambda: workers == 1 or len(stage.bob.children) == workers)
        yield stage
