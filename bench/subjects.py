"""Who is measured: each comparison has our part first, then those it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench import nginx, portal
from bench.crew import Crew, Member
from bench.work import ALONE, DOWN, FAR_DOWN, FAR_UP, GET, HOP_CASES, POST, UP, Case

DIRECT = "direct"
"""The app without a hop: what a hop adds is what is beyond it."""
_BODIES = (DOWN, UP, FAR_DOWN, FAR_UP)
Start = Callable[[Crew, int], Member]
"""Starts a server in front of the app at a port; raises ``NotStarted``."""


@dataclass(frozen=True)
class Subject:
    """A server that is measured."""

    name: str
    start: Start
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Comparison:
    """Subjects on the same work; the first is ours."""

    name: str
    subjects: tuple[Subject, ...]
    cases: tuple[Case, ...]
    share: float = 1.0
    """Of the time of a run."""

    @property
    def ours(self) -> Subject:
        """Our part."""
        return self.subjects[0]

    @property
    def peers(self) -> tuple[Subject, ...]:
        """Those it is compared with."""
        return tuple(one for one in self.subjects[1:] if one.name != DIRECT)


@dataclass(frozen=True)
class Apps:
    """What is behind every hop: who serves pages, and who takes uploads and compares them."""

    pages: Member
    taker: Member

    def behind(self, case: Case) -> Member:
        """Return the app that ``case`` is for."""
        return self.taker if case.uploads else self.pages


def start_apps(crew: Crew) -> Apps:
    """Start the apps on the core that isn't measured; raises ``NotStarted``."""
    taker = crew.start_python("taker", measured=False)
    return Apps(nginx.start_app(crew) if nginx.program() else taker, taker)


def hop_subjects() -> tuple[Subject, ...]:
    """Return our proxy and the others, each a whole process of its own."""
    starts: dict[str, Start] = {
        "ours": portal.start,
        "nginx": nginx.start_hop,
        "asgiproxy": _python("asgiproxy"),
        "fastapi_proxy_lib": _python("fastapi_proxy_lib"),
        "aiohttp": _python("aiohttp"),
    }
    large = Subject("nginx_64k", partial(nginx.start_hop, large=True), _BODIES)
    return (*(Subject(name, start, HOP_CASES) for name, start in starts.items()), large)


def comparisons(apps: Apps) -> tuple[Comparison, ...]:
    """Return all that is compared."""
    direct = Subject(DIRECT, lambda _crew, _app: apps.pages, (ALONE,))
    work = (GET, POST, DOWN, UP)
    protocols = {"ours": "ours", "uvicorn_httptools": "httptools", "uvicorn_h11": "h11"}
    engines = {"ours": "hop", "httpx": "httpx"}
    return (
        Comparison("hop", (*hop_subjects(), direct), HOP_CASES, 0.7),
        Comparison(
            "way_in",
            tuple(Subject(name, _answering(word), work) for name, word in protocols.items()),
            work,
            0.15,
        ),
        Comparison(
            "engine",
            tuple(Subject(name, _python("engine", word), work) for name, word in engines.items()),
            work,
            0.15,
        ),
    )


def _python(module: str, *words: str) -> Start:
    return lambda crew, app: crew.start_python(module, str(app), *words)


def _answering(protocol: str) -> Start:
    """Return how to start a server that has no app behind it."""
    return lambda crew, _app: crew.start_python("way_in", protocol)
