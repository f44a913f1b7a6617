"""The processes of ``dev``: a proxy for each Portal, and the apps where it is told to run them.

Each is the leader of a session of its own, so that Ctrl-C reaches ``dev`` alone, which ends them in
order; and each is told by the system to end when ``dev`` is gone, however that went.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from proxy.cli.dev_apps import port_of
from proxy.cli.dev_portals import DevPortal
from proxy.cli.output import Stop
from proxy.config.environment import PREFIX

LONGEST_LINE = 1 << 20
"""Bytes of a line that are read; a log's own are far shorter."""

_GRACE = 5.0
"""Seconds that a process has to end."""
_LOOK = 0.02
"""Seconds between two looks whether a proxy listens."""
_SET_PARENT_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of Linux."""

OnLine = Callable[[str], None]


@dataclass
class Started:
    """One process that was started."""

    name: str
    process: asyncio.subprocess.Process
    reading: "asyncio.Task[None]"


@dataclass
class Processes:
    """All that were started here; an asynchronous context manager that ends them."""

    _started: list[Started] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: OnLine,
        folder: Path | None = None,
    ) -> Started:
        """Start a process, and have each line that it prints told; raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LONGEST_LINE,
            preexec_fn=_end_with_parent,
        )
        if process.stdout is None:
            raise RuntimeError("a process that was given a pipe has none")
        reading = asyncio.create_task(_read(process.stdout, on_line))
        started = Started(name, process, reading)
        self._started.append(started)
        return started

    async def end(self) -> None:
        """End all of them: in order, and then at once. The second time nothing is left to do."""
        ending, self._started = self._started, []
        for each in ending:
            _signal(each.process, signal.SIGTERM)
        waiting = [asyncio.create_task(each.process.wait()) for each in ending]
        if waiting:
            await asyncio.wait(waiting, timeout=_GRACE)
        for each in ending:
            # Also where it has ended: what it started may be there still.
            _signal(each.process, signal.SIGKILL, ended=True)
        for each in ending:
            await each.process.wait()
            with suppress(TimeoutError):
                # A pipe is at its end when nobody holds it any more; who got away may.
                await asyncio.wait_for(each.reading, 1)


def serve_command(portal: DevPortal) -> list[str]:
    """Return what serves a Portal: this very program."""
    # -P, since a developer's current folder may hold a package of this one's name.
    start = [sys.executable, "-P", "-m", "proxy"]
    return [*start, "--config", str(portal.config), "serve"]


def environment_of_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a proxy: with nothing in it that is meant for another Portal."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}


async def wait_until_served(portal: DevPortal, started: Started) -> None:
    """Wait until each listener takes connections; raises ``Stop`` where the proxy ends first."""
    for host, port in portal.addresses:
        while not await is_listening(host, port):
            if started.process.returncode is not None:
                await started.reading
                raise Stop(f"{portal.name}'s proxy has ended: what it said is above")
            await asyncio.sleep(_LOOK)


async def is_listening(host: str, port: int) -> bool:
    """Tell whether somebody takes connections there."""
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def app_command(command: Sequence[str], upstream: str) -> list[str]:
    """Return the command that runs an app at ``upstream``: ``{port}`` stands for its port."""
    port = str(port_of(upstream))
    return [word.replace("{port}", port) for word in command]


def app_environment(
    environ: Mapping[str, str], variables: Mapping[str, str], upstream: str
) -> dict[str, str]:
    """Return the environment of an app that is run: ours, and what it needs of its Portal."""
    return {**environ, "PORT": str(port_of(upstream)), **variables}


async def _read(stream: asyncio.StreamReader, on_line: OnLine) -> None:
    """Tell each line of a process; one that is too long is told to have been."""
    while True:
        try:
            data = await stream.readline()
        except ValueError:
            on_line("(a line that is too long to be shown)")
            continue
        if not data:
            return
        on_line(data.decode("utf-8", "backslashreplace").rstrip("\r\n"))


def _signal(
    process: asyncio.subprocess.Process, number: signal.Signals, *, ended: bool = False
) -> None:
    """Send a signal to a process and to all that it has started."""
    if process.returncode is None or ended:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def _end_with_parent() -> None:
    """Have the system end this process when its parent is gone (prctl(2)). Runs in the child."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            end, nothing = ctypes.c_ulong(signal.SIGTERM), ctypes.c_ulong(0)
            ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, end, nothing, nothing, nothing)
