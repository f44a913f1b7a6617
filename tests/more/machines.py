"""Two machines in one: each has its own network, names and system folders, and sees the other."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import end

_PLACES = "etc opt usr/local var/lib"
"""What is written to there stays in the machine, and is gone with it."""
_MAKE = f"""\
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
for place in {_PLACES}; do
  mkdir -p "$1/$place/up" "$1/$place/work"
  layers="lowerdir=/$place,upperdir=$1/$place/up,workdir=$1/$place/work"
  mount -t overlay overlay -o "$layers" "/$place"
done
ip link set lo up
echo ready
exec cat
"""
_INSTALLING = 8 * PATIENCE
"""Seconds. Packages take long on a busy machine."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Machine:
    """One of them; it lives as long as its first process."""

    home: Path
    """Where commands are given."""
    address: str
    variables: Mapping[str, str]
    _first: subprocess.Popen[str]
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script of bash to its end."""
        return subprocess.run(
            self._command(script), env=self._environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=_INSTALLING,
        )  # fmt: skip

    def start(self, command: str, log_file: Path) -> None:
        """Start what goes on until the machine ends; what it says goes into a file."""
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                self._command(f"exec {command}"), env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._started.append(process)

    def stop(self) -> None:
        """End all that was started, the last one first, and then the machine."""
        for process in reversed(self._started):
            end(process)
        self._first.communicate(timeout=PATIENCE)

    def _command(self, script: str) -> list[str]:
        inside = ["nsenter", "--target", str(self._first.pid), "--net", "--mount", "--"]
        return [*inside, "bash", "-euc", f"cd {shlex.quote(str(self.home))}\n{script}"]

    def _environment(self) -> dict[str, str]:
        return {"PATH": _PATH, "HOME": str(self.home), "LANG": "C.UTF-8", **self.variables}


def skip_without(*programs: str) -> None:
    """Skip where two machines can't be had, or don't have these programs."""
    needed = ("unshare", "nsenter", "ip", *programs)
    missing = [name for name in needed if shutil.which(name, path=_PATH) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root, and {', '.join(missing) or 'nothing else'}")
    probe = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/up /mnt/work && mount -t overlay overlay -o \
lowerdir=/opt,upperdir=/mnt/up,workdir=/mnt/work /opt && ip link add type veth"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", probe],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no namespaces with a network and overlays here: {done.stderr.strip()}")


@contextmanager
def two_machines(
    folder: Path, names: tuple[str, str], variables: Mapping[str, str]
) -> Iterator[tuple[Machine, Machine]]:
    """Make both, in folders of their own below ``folder``; each knows the ``names`` of both."""
    addresses = ("203.0.113.7", "203.0.113.8")
    known = zip(("127.0.0.1", *addresses), ("localhost", *names), strict=True)
    hosts = "".join(f"{address} {name}\n" for address, name in known)
    with ExitStack() as stack:
        made = []
        for name, address in zip(names, addresses, strict=True):
            machine = _machine(folder / name, address, variables)
            stack.callback(machine.stop)
            done = machine.run(f"printf %s {shlex.quote(hosts)} >/etc/hosts")
            assert done.returncode == 0, done.stderr
            made.append(machine)
        first, second = made
        cable = f"ip link add eth0 type veth peer name eth0 netns {second._first.pid}"
        for machine, before in ((first, cable), (second, "true")):
            up = f"ip address add {machine.address}/24 dev eth0 && ip link set eth0 up"
            done = machine.run(f"{before} && {up}")
            assert done.returncode == 0, done.stderr
        yield first, second


def _machine(folder: Path, address: str, variables: Mapping[str, str]) -> Machine:
    home, mounts = folder / "home", folder / "mounts"
    home.mkdir(parents=True)
    mounts.mkdir()
    first = subprocess.Popen(
        ["unshare", "--net", "--mount", "--propagation", "private",
         "sh", "-c", _MAKE, "sh", str(mounts)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert first.stdout is not None
    said = first.stdout.readline()
    assert said == "ready\n", said
    return Machine(home, address, variables, first)
