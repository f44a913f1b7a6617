"""SIGHUP: portal.yaml is taken over as far as that is possible, and nobody is cut off."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import LOOPBACK, RawConnection, exchange, request
from tests.wire.harness.recorder import eventually

WHOAREYOU = "/core/public/meta/whoareyou"


@pytest.fixture(params=[1, 2])
def gina(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Portal]:
    portal = Portal(tmp_path / "gina", "Gina", workers=request.param)
    (portal.config / "apps").mkdir()
    yield portal
    portal.release()


def process_of(portal: Portal) -> int:
    assert portal._process is not None
    return portal._process.pid


def change(portal: Portal, **replacing: str) -> None:
    path = portal.config / "portal.yaml"
    text = path.read_text()
    for old, new in replacing.items():
        lines = [new if line.startswith(f"{old}:") else line for line in text.splitlines()]
        text = "\n".join(lines) + "\n"
    path.write_text(text)


def health(portal: Portal) -> dict[str, Any]:
    got = exchange(portal.owner, request("GET", "/health", ("Host", f"{LOOPBACK}:{portal.owner}")))
    found: dict[str, Any] = json.loads(got.body)
    return found


def name_of(portal: Portal) -> str:
    got = exchange(portal.public, request("GET", WHOAREYOU, ("Host", portal.host)))
    return str(json.loads(got.body)["name"])


def test_what_can_change_does_and_the_rest_is_told(gina: Portal) -> None:
    gina.start()
    with RawConnection(gina.public) as kept:
        kept.send(request("GET", WHOAREYOU, ("Host", gina.host)))
        assert json.loads(kept.read().body)["name"] == "Gina"
        change(gina, name="name: Zoe", aliases="aliases: [zoe.example]", domain="domain: b.example")
        eventually(lambda: "SIGHUP takes over name, aliases" in gina.log)
        eventually(lambda: health(gina)["waiting"].get("reload") == ["name", "aliases"])
        assert health(gina)["status"] == "ok"
        assert name_of(gina) == "Gina"

        os.kill(process_of(gina), signal.SIGHUP)
        eventually(lambda: gina.log.count("hold from now on: name, aliases") >= gina.workers)
        eventually(lambda: {name_of(gina) for _ in range(4)} == {"Zoe"})
        eventually(lambda: health(gina)["waiting"] == {"start": ["domain"]})
        assert "hold from the next start: domain" in gina.log
        alias = exchange(gina.public, request("GET", WHOAREYOU, ("Host", "zoe.example")))
        assert alias.status == 200
        kept.send(request("GET", WHOAREYOU, ("Host", gina.host)))
        assert json.loads(kept.read().body)["name"] == "Zoe"
    assert gina.stop() == 0
    assert "Traceback" not in gina.log


def test_a_file_with_a_mistake_changes_nothing(gina: Portal) -> None:
    gina.start()
    change(gina, name="name: Zoe\nnmae: Zoe")
    eventually(lambda: "wouldn't start again" in gina.log)
    os.kill(process_of(gina), signal.SIGHUP)
    eventually(lambda: gina.log.count("it has a mistake") >= gina.workers)
    assert name_of(gina) == "Gina"
    assert health(gina)["problems"]
    change(gina, nmae="grace: 2s", name="name: Zoe")
    os.kill(process_of(gina), signal.SIGHUP)
    eventually(lambda: {name_of(gina) for _ in range(4)} == {"Zoe"})
    assert gina.stop() == 0


def test_limits_and_modes_are_taken_over(gina: Portal) -> None:
    gina.start()
    change(gina, accept="accept: [signed]\nlimits: {body: 1 KiB, connections: 50}\ngrace: 1s")
    os.kill(process_of(gina), signal.SIGHUP)
    kept = ("accept", "limits.body", "limits.connections", "grace")
    line = f"hold from now on: {', '.join(kept)}"
    eventually(lambda: gina.log.count(line) >= gina.workers)
    change(gina, accept="accept: [sealed]")
    os.kill(process_of(gina), signal.SIGHUP)
    eventually(lambda: gina.log.count('hold from now on: accept"') >= gina.workers)
    assert health(gina)["problems"] == []
    assert gina.stop() == 0
    assert "Traceback" not in gina.log


def test_systemd_hears_of_each_part_of_its_life(
    gina: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")

        def word() -> str:
            while True:
                first = manager.recv(4096).decode()
                if not first.startswith("WATCHDOG"):
                    return first

        gina.start()
        ready = word()
        assert ready.startswith(f"READY=1\nSTATUS=Portal {gina.id[:6]} at http://")
        assert f"MAINPID={process_of(gina)}" in ready
        while not manager.recv(4096).startswith(b"WATCHDOG=1"):
            pass
        os.kill(process_of(gina), signal.SIGHUP)
        assert word().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert word() == "READY=1"
        assert gina.stop() == 0
        assert word().startswith("STOPPING=1")
