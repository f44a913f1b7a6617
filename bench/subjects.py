"""Who is measured, as a program that can be started, and as it runs."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import nginx
from bench.accounting import cpu_seconds, resident_bytes
from bench.crew import Crew, Member
from bench.endpoint import Endpoint
from bench.work import Case

DIRECT = "direct"
"""The app without a hop: what a hop adds is what is beyond it."""


@dataclass(frozen=True)
class Apps:
    """What is behind every hop: who serves pages, and who takes uploads and compares them."""

    pages: Member
    taker: Member


@dataclass(frozen=True)
class Running:
    """A subject as it runs: where it is asked, and which processes are on its bill."""

    pages: Endpoint
    taker: Endpoint
    measured: tuple[Member, ...] = ()
    helpers: tuple[Member, ...] = ()
    """What it needs, and isn't charged for."""

    def endpoint(self, case: Case) -> Endpoint:
        """Return where ``case`` is asked for."""
        return self.taker if case.uploads else self.pages

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes together; raises ``OSError``."""
        return sum(cpu_seconds(member.process.pid) for member in self.measured)

    def resident_bytes(self) -> int:
        """Return the resident memory of all its processes together; raises ``OSError``."""
        return sum(resident_bytes(member.process.pid) for member in self.measured)

    @property
    def last_words(self) -> str:
        """The end of what its processes wrote."""
        members = (*self.measured, *self.helpers)
        return " / ".join(f"{member.name}: {member.last_words}" for member in members)

    def forget_logs(self) -> None:
        """Empty the logs: a server that logs each request would fill the disk."""
        for member in (*self.measured, *self.helpers):
            member.forget_log()

    def end(self, crew: Crew) -> None:
        """End its processes."""
        for member in (*self.measured, *self.helpers):
            crew.end(member)


Start = Callable[[Crew, Apps], Running]
"""Starts a subject in front of the apps; raises ``NotStarted``."""


@dataclass(frozen=True)
class Subject:
    """A program that is measured."""

    name: str
    start: Start
    cases: tuple[Case, ...]
    most: int = 512
    """Connections that it gets at once, whatever the case says."""


def start_apps(crew: Crew) -> Apps:
    """Start the apps on the core that isn't measured; raises ``NotStarted``."""
    taker = crew.start_python("taker", measured=False)
    return Apps(nginx.start_app(crew) if nginx.program() else taker, taker)


def direct(_crew: Crew, apps: Apps) -> Running:
    """Return the apps themselves, as a subject that costs nothing."""
    return Running(Endpoint(apps.pages.port), Endpoint(apps.taker.port))


def hop(start: Callable[[Crew, int], Member]) -> Start:
    """Return how to start a hop that knows one app: one in front of each of the two.

    ``start`` is given the app's port.
    """

    def both(crew: Crew, apps: Apps) -> Running:
        pages, taker = start(crew, apps.pages.port), start(crew, apps.taker.port)
        return Running(Endpoint(pages.port), Endpoint(taker.port), (pages, taker))

    return both


def python(module: str, *words: str) -> Start:
    """Return how to start a hop of ``bench.servers``."""
    return hop(lambda crew, app: crew.start_python(module, str(app), *words))
