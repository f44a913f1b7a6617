"""What of a changed portal.yaml a running proxy can take over, and what holds from the next start.

Whatever isn't named here waits for a start: sockets are bound once, and who the Portal is, and
where, doesn't change under those who are connected.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

from proxy.config.portal_yaml import Config

LIVE = frozenset(
    {
        "name", "aliases", "accept", "sealing_rotation", "trusted_proxies", "timeouts", "limits",
        "grace", "log",
    }
)  # fmt: skip
"""What can change without a restart; requests and connections that are there keep what they had."""
_PARTS = frozenset({"timeouts", "limits", "listen", "tls"})
"""Sections, of which each key is told by itself."""
_OURS = frozenset({"folder", "replaced"})
"""What is no key of the file."""
_MACHINE_S = "limits.descriptors"


@dataclass(frozen=True)
class Reload:
    """The settings that hold once ``now`` is taken over, and which keys differ."""

    now: Config
    taken: tuple[str, ...]
    """Keys that hold from now on."""
    waiting: tuple[str, ...]
    """Keys that hold from the next start."""


def reload_of(running: Config, file: Config) -> Reload:
    """Return what becomes of the ``running`` settings where the ``file`` says otherwise."""
    # How many descriptors there are, no file says.
    limits = replace(file.limits, descriptors=running.limits.descriptors)
    file = replace(file, limits=limits)
    different = [
        each.name
        for each in fields(Config)
        if each.name not in _OURS
        and not _are_same(getattr(running, each.name), getattr(file, each.name))
    ]
    taken = [name for name in different if name in LIVE]
    now = replace(running, **{name: getattr(file, name) for name in taken})
    return Reload(
        now,
        tuple(key for name in taken for key in _keys(name, running, file)),
        tuple(key for name in different if name not in LIVE for key in _keys(name, running, file)),
    )


def _keys(name: str, one: Config, other: Config) -> list[str]:
    """Return the keys that differ, as they are called in the file."""
    here, there = getattr(one, name), getattr(other, name)
    if name not in _PARTS or here is None or there is None:
        return [name]
    return [
        f"{name}.{each.name}"
        for each in fields(here)
        if getattr(here, each.name) != getattr(there, each.name)
        and f"{name}.{each.name}" != _MACHINE_S
    ]


def _are_same(one: object, other: object) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other
