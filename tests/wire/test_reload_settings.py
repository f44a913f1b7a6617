"""SIGHUP: portal.yaml is taken over as far as that is possible, and nobody is cut off."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.server.signals import HANDLED
from tests.patience import PATIENCE
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal, wait_for_ports
from tests.wire.harness.raw import LOOPBACK, RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_ending import half_sent, listens
from tests.wire.test_signals import cared_for

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
    put(portal, text)


def put(portal: Portal, text: str) -> None:
    """Write portal.yaml, whole at once: it may be read at any moment."""
    beside = portal.config / ".portal.yaml.new"
    beside.write_text(text)
    beside.replace(portal.config / "portal.yaml")


def hang_up(portal: Portal) -> None:
    os.kill(process_of(portal), signal.SIGHUP)


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

        hang_up(gina)
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


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ("name: Zoe\nnmae: Zoe", "portal.yaml: nmae: isn't known; did you mean name?"),
        ("name: Zoe\n\tgrace: 1s", "portal.yaml: line 3, column 1: "),
    ],
)
def test_a_file_with_a_mistake_changes_nothing(gina: Portal, wrong: str, where: str) -> None:
    gina.start()
    good = (gina.config / "portal.yaml").read_text()
    change(gina, name=wrong)
    eventually(lambda: "wouldn't start again" in gina.log)
    hang_up(gina)
    refused = "SIGHUP: nothing is taken over, for it has a mistake: "
    eventually(lambda: gina.log.count(refused) >= gina.workers)
    told = [line["message"] for line in gina.lines() if refused in line["message"]]
    assert all(where in message for message in told), told
    assert name_of(gina) == "Gina"
    assert where in str(health(gina)["problems"])
    put(gina, good.replace("name: Gina", "name: Zoe"))
    hang_up(gina)
    eventually(lambda: {name_of(gina) for _ in range(4)} == {"Zoe"})
    assert gina.stop() == 0


def test_of_two_quickly_the_last_file_counts(gina: Portal) -> None:
    gina.start()
    eventually(lambda: gina.log.count("owner listener:") == gina.workers)
    for name in ("Zoe", "Eve", "Kim"):
        change(gina, name=f"name: {name}")
        hang_up(gina)
    eventually(lambda: gina.log.count("SIGHUP: these hold from now on: name") >= gina.workers)
    eventually(lambda: {name_of(gina) for _ in range(8)} == {"Kim"})
    eventually(lambda: health(gina)["waiting"] == {})
    assert gina.stop() == 0
    assert "Traceback" not in gina.log


def test_one_that_comes_while_it_starts_is_obeyed_once_it_serves(gina: Portal) -> None:
    process = gina._process = gina.launch()
    wanted = sum(1 << (number - 1) for number in HANDLED)
    eventually(lambda: wanted & ~cared_for(process.pid) == 0)
    for name in ("Zoe", "Eve", "Kim"):  # whatever it has read by then
        change(gina, name=f"name: {name}")
        hang_up(gina)
    wait_for_ports(process, gina.public, gina.apps, gina.owner, log=gina.log_file)
    eventually(lambda: {name_of(gina) for _ in range(8)} == {"Kim"})
    assert gina.stop() == 0
    assert "Traceback" not in gina.log


def test_one_that_comes_while_it_ends_changes_nothing_about_that(
    gina: Portal, app: Recorder
) -> None:
    change(gina, accept="accept: [sealed, signed]\ngrace: 1h")
    gina.add_app("site", SITE, app.port)
    process = gina.start()._process
    assert process is not None
    with half_sent(gina, app) as wire:
        process.terminate()
        eventually(lambda: not listens(gina.public))
        change(gina, name="name: Zoe")
        hang_up(gina)
        eventually(lambda: "SIGHUP: these hold from now on: name" in gina.log)
        wire.send(b"cd")
        assert wire.read().body == b"ok"
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in gina.log


def test_limits_and_modes_are_taken_over(gina: Portal) -> None:
    gina.start()
    change(gina, accept="accept: [signed]\nlimits: {body: 1 KiB, connections: 50}\ngrace: 1s")
    hang_up(gina)
    kept = ("accept", "limits.body", "limits.connections", "grace")
    line = f"hold from now on: {', '.join(kept)}"
    eventually(lambda: gina.log.count(line) >= gina.workers)
    change(gina, accept="accept: [sealed]")
    hang_up(gina)
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
        hang_up(gina)
        assert word().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert word() == "READY=1"
        assert gina.stop() == 0
        assert word().startswith("STOPPING=1")
