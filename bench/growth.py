"""What grows in ``bench.curves``, what is measured meanwhile, and how it is started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import portals, sizes
from bench.crew import Crew
from bench.subjects import Apps, Running
from bench.work import Case

_CONNECTIONS = tuple(2**power for power in range(10))
SIZES = (1, 64, 1024, 16 * 1024, 128 * 1024, 1 << 20, 8 << 20, 64 << 20, 256 << 20)
_HELD = 32 << 20
"""The largest body of a signed call."""
_PEERS = (1, 10, 100, 1000, 5000, 10000)
_APPS = (1, 5, 20, 50, 100, 200)
_RULES = (1, 5, 20, 50, 100, 200, 500)
_BUSY = 16
"""Connections where they aren't what grows."""


@dataclass(frozen=True)
class Curve:
    """Something that grows, and the series that are measured while it does."""

    name: str
    axis: str
    values: tuple[int, ...]
    start: Callable[[Crew, Apps, int], Mapping[str, Running]]
    """Starts the subjects, by series; raises ``NotStarted``."""
    case: Callable[[str, int], Case | None]
    """What a series is asked for at a value; None where it can't be."""
    is_shared: bool = False
    """Whether one set of subjects serves all values."""


def curves() -> tuple[Curve, ...]:
    """Return all curves."""
    return (
        Curve("connections", "connections at once", _CONNECTIONS, _kinds, _at_once, is_shared=True),
        Curve("size", "bytes of the body", SIZES, _both_ways, _sized, is_shared=True),
        Curve("peers", "contacts of each Portal", _PEERS, sizes.with_peers, _small),
        Curve("apps", "apps of each Portal", _APPS, sizes.with_apps, _small),
        Curve("rules", "rules of the app", _RULES, sizes.with_rules, _small),
    )


def _kinds(crew: Crew, apps: Apps, _value: int) -> Mapping[str, Running]:
    """Start a Portal that is asked by strangers, and two pairs that call each other."""
    return {
        "public hop": portals.public_hop(crew, apps),
        "two hops, signed": portals.two_hops("signed")(crew, apps),
        "two hops, sealed": portals.two_hops("sealed")(crew, apps),
    }


def _both_ways(crew: Crew, apps: Apps, value: int) -> Mapping[str, Running]:
    started = _kinds(crew, apps, value)
    return {f"{name}, {way}": one for name, one in started.items() for way in ("down", "up")}


def _at_once(_series: str, value: int) -> Case:
    return Case(f"get_{value}", "GET", "small", value)


def _small(_series: str, _value: int) -> Case:
    return Case("get", "GET", "small", _BUSY)


def _sized(series: str, value: int) -> Case | None:
    if "signed" in series and value > _HELD:
        return None
    return Case(f"{value}", "POST" if series.endswith("up") else "GET", f"{value}b", 1)
