"""The processes of a run: started on their core, each in a group of its own, and ended by id."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench.endpoint import LOOPBACK

ROOT = Path(__file__).resolve().parent.parent
_START = 180.0
"""Seconds that a start may take: under valgrind, on a busy machine, it takes minutes."""
_GRACE = 5.0
_LOG_TAIL = 800


class NotStarted(Exception):
    """A process didn't come up; the text has the end of what it said."""


@dataclass(frozen=True)
class Member:
    """A running server."""

    name: str
    process: subprocess.Popen[bytes]
    ports: tuple[int, ...]
    log: Path

    @property
    def port(self) -> int:
        """Where it listens first of all."""
        return self.ports[0]

    @property
    def last_words(self) -> str:
        return self.log.read_text("utf-8", "replace").strip()[-_LOG_TAIL:] or "it said nothing"

    def forget_log(self) -> None:
        """Empty the log: a server that logs each request would fill the disk."""
        os.truncate(self.log, 0)


@dataclass
class Crew:
    """Every process of a run, and the folder for what they need. A context manager."""

    folder: Path = field(init=False)
    members: list[Member] = field(default_factory=list)
    _holders: list[socket.socket] = field(default_factory=list)
    _before: tuple[str, ...] = ()
    """What stands before the line of a measured server: a program that watches it."""

    def __enter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory(prefix="portal-bench-")
        self.folder = Path(self._temporary.name)
        self.cores = sorted(os.sched_getaffinity(0))
        if self.is_pinned:
            os.sched_setaffinity(0, {self.cores[1]})
        return self

    def __exit__(self, *_: object) -> None:
        for member in list(self.members):
            self.end(member)
        for holder in self._holders:
            holder.close()
        self._temporary.cleanup()
        os.sched_setaffinity(0, self.cores)

    @property
    def is_pinned(self) -> bool:
        """Whether there are two cores: the first for what is measured, the second for the rest."""
        return len(self.cores) > 1

    def port(self) -> int:
        """Return a free port, kept from others until the end: bound, and not listening."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((LOOPBACK, 0))
        self._holders.append(holder)
        return int(holder.getsockname()[1])

    def new_folder(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    @contextmanager
    def under(self, line: tuple[str, ...]) -> Iterator[None]:
        """Start what is measured under another program, until the end of the context."""
        self._before = line
        try:
            yield
        finally:
            self._before = ()

    def launch(
        self,
        name: str,
        line: Sequence[str],
        *ports: int,
        measured: bool = True,
        everywhere: bool = False,
        tree: Path = ROOT,
    ) -> Member:
        """Start a server without waiting for it, on all cores or its own; raises ``NotStarted``.

        Its modules are those of ``tree``, a copy of this project.
        """
        log = self.folder / f"{name}-{ports[0]}.log"
        if self.is_pinned and (measured or everywhere):
            os.sched_setaffinity(0, self.cores if everywhere else {self.cores[0]})
        whole = (*(self._before if measured else ()), *line)
        try:
            with log.open("ab") as sink:
                process = subprocess.Popen(  # noqa: S603 - our own lines, no shell
                    whole, cwd=tree, env=environment(), stdin=subprocess.DEVNULL, stdout=sink,
                    stderr=sink, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise NotStarted(str(error)) from None
        finally:
            if self.is_pinned:
                os.sched_setaffinity(0, {self.cores[1]})
        member = Member(name, process, ports, log)
        self.members.append(member)
        return member

    def start(self, name: str, line: Sequence[str], *ports: int, measured: bool = True) -> Member:
        """Start a server and wait until it takes connections; raises ``NotStarted``."""
        member = self.launch(name, line, *ports, measured=measured)
        wait_for(member)
        return member

    def start_python(self, name: str, *words: str, measured: bool = True) -> Member:
        """Start the module ``bench.servers.NAME``; its first argument is its port."""
        port = self.port()
        line = [sys.executable, "-m", f"bench.servers.{name}", str(port), *words]
        return self.start(name, line, port, measured=measured)

    def end(self, member: Member) -> None:
        """End a server and whatever it started; once is enough."""
        if member not in self.members:
            return
        self.members.remove(member)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(member.process.pid, number)
                member.process.wait(_GRACE)
            except ProcessLookupError:
                member.process.wait(_GRACE)
                return
            except subprocess.TimeoutExpired:
                continue


def wait_for(*members: Member) -> None:
    """Wait until each takes connections at all its ports; raises ``NotStarted``."""
    for member in members:
        end = time.monotonic() + _START
        for port in member.ports:
            while not _takes_connections(port):
                if member.process.poll() is not None:
                    raise NotStarted(f"it ended: {member.last_words}")
                if time.monotonic() > end:
                    raise NotStarted(f"not there after {_START:g} s: {member.last_words}")
                time.sleep(0.02)


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def environment() -> dict[str, str]:
    """Return this environment without anybody's HTTP proxy: the run is all on loopback."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    kept.pop("PORTAL_CONFIG", None)
    return kept
