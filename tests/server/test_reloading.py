"""SIGHUP takes over all that can change: no part of a running proxy keeps an old value."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import resource
import threading
import types
from dataclasses import fields
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from proxy.config.limits import Limits
from proxy.config.listen import LISTENERS
from proxy.config.portal_yaml import Config, load_config
from proxy.server.compose import compose
from proxy.server.running import Running
from proxy.server.sockets import open_socket
from proxy.state.contacts import ContactStore
from proxy.state.files import make_private_folder
from proxy.state.identity_key import create_identity
from proxy.transfer.disk_thread import DiskThread
from tests.wire.harness.portals import DOMAIN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from proxy.core.identity import PrivateKey

_OLD, _NEW = 1, 2
_LIMITS = (
    "connections", "connections_per_address", "requests_per_peer", "requests_per_app",
    "body", "held_body", "spooled_body", "websocket_message",
)  # fmt: skip
_TIMES = (
    "head", "idle", "client_body", "client_send", "app_connect", "app_answer", "peer_connect",
    "peer_answer",
)  # fmt: skip
_NO_SETTINGS = frozenset({"descriptors", "refused_at_once"})
"""Limits that no file sets."""
_ENDS = (
    type, types.ModuleType, types.BuiltinFunctionType, types.CodeType, types.FrameType,
    types.CoroutineType, asyncio.Future, asyncio.AbstractEventLoop, threading.Thread,
    logging.Logger, logging.Handler,
)  # fmt: skip
"""What leads to all the rest of the process, and holds no settings of its own."""


def write(folder: Path, key: PrivateKey, turn: int) -> None:
    """Write a file in which each value is another one, and another one at each ``turn``."""
    times = {name: f"{100 + number}.{turn}37s" for number, name in enumerate(_TIMES)}
    limits = {name: str(turn * 1_000_000 + number) for number, name in enumerate(_LIMITS)}
    rates = [each.name for each in fields(Limits) if each.name.startswith("rate_")]
    limits |= {name: f"5/s burst {turn}5370{number}" for number, name in enumerate(rates)}
    settings = {
        "id": key.public.portal_id, "name": f"Name {turn}", "domain": DOMAIN,
        "public_url": f"http://{{short_id}}.{DOMAIN}", "aliases": [f"alias{turn}.example"],
        "accept": ["sealed", "signed"], "sealing_rotation": f"{1000 + turn}m",
        "trusted_proxies": [f"10.0.0.{turn}"], "grace": f"50.{turn}37s", "log": "json",
        "timeouts": times, "limits": limits, "listen": dict.fromkeys(LISTENERS, "127.0.0.1:0"),
    }  # fmt: skip
    (folder / "portal.yaml").write_text(json.dumps(settings))


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    config, state = tmp_path / "config", tmp_path / "state"
    config.mkdir()
    make_private_folder(state)
    key = create_identity(state / "identity.key")
    ContactStore(state / "contacts.yaml", DOMAIN).create()
    write(config, key, _OLD)
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    running = compose(load_config(config, {}))
    yield running
    await running.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)


def settings_of(config: Config) -> dict[object, str]:
    """Return which setting each value is, of those that can change."""
    found: dict[object, str] = {config.grace: "grace", config.sealing_rotation: "sealing_rotation"}
    found |= {config.name: "name", config.aliases[0]: "aliases"}
    found |= dict.fromkeys(config.trusted_proxies.networks, "trusted_proxies")
    for section in (config.timeouts, config.limits):
        names = [each.name for each in fields(section) if each.name not in _NO_SETTINGS]
        values = {name: getattr(section, name) for name in names}
        found |= {getattr(value, "burst", value): name for name, value in values.items()}
    return found


def held_by(*roots: object) -> dict[object, str]:
    """Return every number, text and network that can be reached from ``roots``, and the way."""
    found: dict[object, str] = {}
    seen: dict[int, object] = {}
    waiting: list[tuple[object, str]] = [(root, "") for root in roots]
    while waiting:
        one, way = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, (int, float, str, IPv4Network)):
            found.setdefault(one, way)
        elif (parts := parts_of(one)) is not None:
            waiting += [(part, f"{way}/{type(one).__name__}"[-300:]) for part in parts]
    return found


def parts_of(one: object) -> list[object] | None:
    """Return what an object holds itself; None where that is no concern of settings."""
    if isinstance(one, types.FunctionType):
        return [one.__closure__, one.__defaults__, one.__kwdefaults__]
    if isinstance(one, type) and one.__name__ == "Connection":
        return list(vars(one).values())  # each listener has one, with its times
    return None if isinstance(one, _ENDS) else list(gc.get_referents(one))


async def test_no_part_keeps_a_value_that_has_changed(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    old = running.portal.config
    sockets = {name: open_socket(getattr(old.listen, name)) for name in LISTENERS}
    thread = DiskThread("follow")
    try:
        parts = (running, running.listeners(sockets))
        before = held_by(*parts)
        assert [name for value, name in settings_of(old).items() if value not in before] == []

        write(old.folder, running.portal.key, _NEW)
        running.reloading.want()
        await running.reloading.follow(thread)

        now = held_by(*parts)
        assert {name: now[value] for value, name in settings_of(old).items() if value in now} == {}
        new = settings_of(running.portal.config)
        assert [name for value, name in new.items() if value not in now] == []
        assert "hold from the next start" not in caplog.text
    finally:
        thread.close()
        for listening in sockets.values():
            listening.close()


class Broken(DiskThread):
    """A thread on whose disk nothing can be read, once."""

    is_broken = True

    async def run(self, work: Callable[[], Any]) -> Any:
        if self.is_broken:
            self.is_broken = False
            raise OSError("the disk is gone")
        return await super().run(work)


async def test_a_reload_that_a_fault_came_between_is_made_up_for(running: Running) -> None:
    reloading, done, thread = running.reloading, list[int](), Broken("follow")
    reloading.on_done = lambda: done.append(1)
    write(running.portal.config.folder, running.portal.key, _NEW)
    reloading.want()
    with pytest.raises(OSError, match="the disk is gone"):
        await reloading.follow(thread)
    assert not done
    await reloading.follow(thread)
    assert done == [1]
    assert running.portal.config.name == f"Name {_NEW}"
    thread.close()
