"""Commands as processes of their own, without each of them importing the program anew.

This file as a program is the process that has imported it, and forks for each command. Of what a
command may see nothing else is shared: arguments, environment, folder and streams are its own. What
is about the interpreter's start (its own variables, a signal, a terminal) takes a new process.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGEST = 1 << 17
_NUMBER = struct.Struct("=i")
_NETWORK = Path("/proc/thread-self/ns/net")


def run(
    *words: str, environment: Mapping[str, str], folder: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run ``python -m proxy`` with ``words`` in ``folder`` to its end."""
    (stdin_read, stdin_write), (stdout_read, stdout_write) = os.pipe(), os.pipe()
    stderr_read, stderr_write = os.pipe()
    theirs = [stdin_read, stdout_write, stderr_write]
    process = Started(*words, environment=environment, folder=folder, streams=theirs)
    for descriptor in theirs:
        os.close(descriptor)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(_feed, stdin_write, stdin)
        stdout, stderr = (pool.submit(_drain, each) for each in (stdout_read, stderr_read))
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(words, code, stdout.result(), stderr.result())


class Started(subprocess.Popen[bytes]):
    """``python -m proxy`` with ``words`` in ``folder``; ``streams`` are its first descriptors.

    It isn't this process's child: who forked it tells of its end.
    """

    def __init__(
        self, *words: str, environment: Mapping[str, str], folder: Path, streams: Sequence[int]
    ) -> None:
        self._status, theirs = os.pipe()
        order = json.dumps([words, dict(environment), str(folder)]).encode()
        socket.send_fds(_forking(_NETWORK.readlink()), [order], [*streams, theirs])
        os.close(theirs)
        self.args = words
        self.stdin = self.stdout = self.stderr = None
        self.returncode = None
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its exit status."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
            os.close(self._status)
        return self.returncode

    def _number(self) -> int:
        """Read what is told of it next: its process ID, then its exit status."""
        (number,) = _NUMBER.unpack(os.read(self._status, _NUMBER.size))
        return int(number)


def _feed(descriptor: int, data: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(descriptor, "wb", buffering=0) as file:
        while data:
            data = data[file.write(data) :]


def _drain(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


@cache
def _forking(_network: Path) -> socket.socket:
    """Start the process that forks; return the socket that orders go to. It ends with this one.

    It is on this thread's network, as is all that it starts: so each network has one of its own.
    """
    from tests.wire.harness.portals import environment  # noqa: PLC0415 - which imports this file

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            env=environment(), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _next_order(orders: socket.socket) -> tuple[list[str], dict[str, str], str]:
    """Wait for orders, and fork for each: only a command returns, its streams in their places."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _LARGEST, 4)
        if not order:
            os._exit(0)
        if not os.fork():
            break
        for descriptor in descriptors:
            os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = descriptors
    if command := os.fork():
        os.write(status, _NUMBER.pack(command))
        for descriptor in streams:
            os.close(descriptor)
        _, ended = os.waitpid(command, 0)
        os.write(status, _NUMBER.pack(os.waitstatus_to_exitcode(ended)))
        os._exit(0)
    orders.close()
    os.close(status)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    words, environment, folder = json.loads(order)
    return words, environment, folder


def main() -> None:
    """Import the program, then be each command in a process of its own."""
    sys.path.pop(0)  # this folder, as ``python -m`` hasn't it either
    import proxy  # noqa: PLC0415 - which is what this is for

    for module in pkgutil.walk_packages(proxy.__path__, "proxy."):
        if module.name != "proxy.__main__":
            importlib.import_module(module.name)

    words, environment, folder = _next_order(socket.socket(fileno=int(sys.argv[1])))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
    sys.argv[1:] = words
    runpy.run_module("proxy", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
