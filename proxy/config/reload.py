"""What of a changed portal.yaml a running proxy can take over, and what holds from the next start.

Whatever isn't named here waits for a start: sockets are bound once, and who the Portal is, and
where, doesn't change under those who are connected. Nothing here asks the disk: it is asked for in
the event loop, too.
"""

from dataclasses import dataclass, fields, replace

from proxy.config.listen import Address
from proxy.config.portal_yaml import Config

LIVE = frozenset(
    {
        "name", "aliases", "accept", "sealing_rotation", "trusted_proxies", "timeouts", "limits",
        "grace", "log",
    }
)  # fmt: skip
"""What can change without a restart; requests and connections that are there keep what they had."""
_PARTS = frozenset({"timeouts", "limits", "listen", "tls", "acme"})
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
        if each.name not in _OURS and getattr(running, each.name) != getattr(file, each.name)
    ]
    live = LIVE - {"accept"} if _may_accept_other_modes(running, file) else LIVE
    taken = [name for name in different if name in live]
    now = replace(running, **{name: getattr(file, name) for name in taken})
    return Reload(
        now,
        tuple(key for name in taken for key in _keys(name, running, file)),
        tuple(key for name in different if name not in live for key in _keys(name, running, file)),
    )


def _may_accept_other_modes(running: Config, file: Config) -> bool:
    """Tell whether what ``accept`` depends on waits for a start, so that it has to wait as well.

    Else an address that is to become https would at once let in calls that everybody on the way,
    which is plain http until then, can read.
    """
    return (running.is_plain_http, running.app_hosts) != (file.is_plain_http, file.app_hosts)


def _keys(name: str, one: Config, other: Config) -> list[str]:
    """Return the keys that differ, as they are called in the file."""
    here, there = getattr(one, name), getattr(other, name)
    if name not in _PARTS or here is None or there is None:
        return [name]
    keys = []
    for each in fields(here):
        was, becomes = getattr(here, each.name), getattr(there, each.name)
        key = f"{name}.{each.name}"
        if isinstance(was, Address) and was.mode != becomes.mode:
            keys.append(f"{key}_mode")
            was = replace(was, mode=becomes.mode)
        if was != becomes and key != _MACHINE_S:
            keys.append(key)
    return keys
