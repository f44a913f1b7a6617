"""``dev`` as it runs: the proxies are started, what they log is told, and all is ended."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from proxy.cli.dev_apps import DevApp, destination_of
from proxy.cli.dev_log import DevLog
from proxy.cli.dev_portals import DevPortal, Ports, own_manifest
from proxy.cli.dev_processes import (
    Processes,
    Started,
    app_command,
    app_environment,
    environment_of_proxies,
    serve_command,
    wait_until_served,
)
from proxy.cli.dev_report import Report
from proxy.cli.output import FAILED, Stop
from proxy.config.apps import APPS_FOLDER, KINDS
from proxy.http.client.look import look_at_all

_TICK = 0.1
"""Seconds between two looks whether a line of the log has waited long enough."""
_LOOK_AT_APPS = 1.0
"""Seconds between two looks whether an app's server is there by now."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class DevRun:
    """One run: the Portals, their apps, and the ``command`` that runs an app, if any."""

    portals: Sequence[DevPortal]
    apps: Sequence[DevApp]
    folder: Path
    ports: Ports
    report: Report
    command: Sequence[str] = ()
    is_kept: bool = False
    _log: DevLog = field(init=False)
    _is_ready: bool = field(init=False, default=False)
    _early: list[tuple[str, str]] = field(init=False, default_factory=list)
    """What was logged before it was told who the Portals are."""

    def __post_init__(self) -> None:
        names = {portal.id: portal.name for portal in self.portals}
        self._log = DevLog(names, dict(self._shown_paths()))

    async def run(self) -> int:
        """Run until a signal comes, or a process ends that mustn't; returns the exit status."""
        stop = asyncio.Event()
        for number in _ENDING:
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        stopping = asyncio.create_task(stop.wait())
        async with Processes() as processes:
            going = asyncio.create_task(self._go(processes))
            try:
                await asyncio.wait((stopping, going), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                if not going.done():
                    going.cancel()
            with suppress(asyncio.CancelledError):
                return await going
        return 0

    async def _go(self, processes: Processes) -> int:
        proxies = await self._start_proxies(processes)
        ends = "" if self.is_kept else f", and removes {self.folder}"
        self.report.ready(self.portals, self.apps, self.folder, f"Ctrl-C ends them{ends}.")
        self._is_ready = True
        for name, text in self._early:
            self._take(name, text)
        self._watch_for_enter()
        running = [await self._start_app(processes, portal) for portal in self._with_command()]
        endless = [asyncio.create_task(each) for each in (self._tick(), self._look_at_apps())]
        try:
            return await self._wait(proxies, running, endless)
        finally:
            for each in endless:
                each.cancel()

    async def _start_proxies(self, processes: Processes) -> list[Started]:
        environment = environment_of_proxies(os.environ)
        started = []
        for portal in self.portals:
            command = serve_command(portal)
            on_line = partial(self._take, portal.name)
            started.append(await processes.start(portal.name, command, environment, on_line))
        pairs = zip(self.portals, started, strict=True)
        try:
            await asyncio.gather(*(wait_until_served(*pair) for pair in pairs))
        except Stop:
            self._is_ready = True
            for name, text in self._early:
                self._take(name, text)
            raise
        self.ports.release()
        return started

    async def _start_app(self, processes: Processes, portal: DevPortal) -> Started:
        app = self.apps[0].name
        upstream, variables = portal.upstreams[app], portal.environment(app)
        command = app_command(self.command, upstream)
        environment = app_environment(os.environ, variables, upstream)
        name = f"{portal.name}'s {app}"

        def on_line(text: str) -> None:
            self.report.output(name, text)

        try:
            return await processes.start(name, command, environment, on_line)
        except OSError as error:
            raise Stop(f"{command[0]} can't be started: {error.strerror}") from None

    async def _wait(
        self,
        proxies: Iterable[Started],
        running: Sequence[Started],
        endless: Iterable["asyncio.Task[None]"],
    ) -> int:
        """Wait for what must not end; returns the exit status once all apps run here have."""
        serving = {asyncio.create_task(each.process.wait()): each for each in proxies}
        apps = {asyncio.create_task(each.process.wait()): each for each in running}
        reading = {each.reading for each in (*serving.values(), *apps.values())}
        while True:
            waited: set[asyncio.Task[int] | asyncio.Task[None]] = {*serving, *apps, *endless}
            waited |= {each for each in reading if not each.done() or each.exception()}
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()  # what went wrong with telling ends it all
            for each in [task for task in serving if task.done()]:
                await serving[each].reading
                raise Stop(f"{serving[each].name}'s proxy has ended by itself")
            for each in [task for task in apps if task.done()]:
                await apps[each].reading
                self._tell_ended(apps.pop(each))
                if not apps:
                    failed = any(started.process.returncode for started in running)
                    return FAILED if failed else 0

    def _tell_ended(self, app: Started) -> None:
        status = app.process.returncode or 0
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        members = {"event": "ended", "at": app.name, "status": status}
        self.report.tell(f"{app.name} has ended {how}", members)

    def _take(self, name: str, text: str) -> None:
        if not self._is_ready:
            self._early.append((name, text))
            return
        for event in self._log.take(name, text, time.monotonic()):
            self.report.event(event)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for event in self._log.late(time.monotonic()):
                self.report.event(event)

    async def _look_at_apps(self) -> None:
        """Tell which app's server isn't there, and when it is."""
        missing = {
            f"{portal.name}'s {app}": destination_of(upstream)
            for portal in self.portals
            for app, upstream in portal.upstreams.items()
        }
        is_first = True
        while missing:
            found = await look_at_all(missing)
            for name, finding in found.items():
                to = str(missing[name])
                if finding == "answers":
                    del missing[name]
                    if not is_first:
                        self._tell_app(name, to, "up", f"{name} is there, at {to}")
                elif is_first and not self.command:
                    what = f"{name} isn't there yet: nothing answers at {to}. Start it"
                    self._tell_app(name, to, "missing", f"{what}; nothing else is needed")
            is_first = False
            await asyncio.sleep(_LOOK_AT_APPS)
        await asyncio.Event().wait()

    def _tell_app(self, name: str, upstream: str, state: str, text: str) -> None:
        members = {"event": "app", "at": name, "upstream": upstream, "state": state}
        self.report.tell(text, members)

    def _with_command(self) -> Iterable[DevPortal]:
        if not self.command:
            return ()
        return [each for each in self.portals if self.apps[0].name in each.upstreams]

    def _watch_for_enter(self) -> None:
        """Print new links for browsers whenever somebody presses Enter."""
        stdin = sys.stdin
        if self.report.is_for_script or stdin is None or not stdin.isatty():
            return
        loop, number = asyncio.get_running_loop(), stdin.fileno()

        def read() -> None:
            # Whoever reads from the terminal in the background is stopped by the system.
            is_ours = os.tcgetpgrp(number) == os.getpgrp()
            if not is_ours or not os.read(number, 4096):
                loop.remove_reader(number)
                return
            self.report.links(self.portals, time.time())

        with suppress(OSError, NotImplementedError):
            loop.add_reader(number, read)

    def _shown_paths(self) -> Iterable[tuple[str, str]]:
        """Go through the links to authors' files, and what they lead to."""
        for portal in self.portals:
            for app in self.apps:
                path = app.manifest or own_manifest(self.folder, app.name)
                for kind in KINDS:
                    yield str(portal.config / APPS_FOLDER / app.name / kind), str(path)
