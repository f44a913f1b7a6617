"""What docs/setup has for a Portal beside other containers: each app at an entrance of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from proxy.config.app_settings import load_settings
from proxy.core.access.call_routes import ECOSYSTEM_HOSTS
from tests.more.in_front.web_servers import SETUP
from tests.wire.harness.networks import APPS, BETWEEN, own_networks
from tests.wire.harness.portals import end, environment, wait_for_ports
from tests.wire.harness.raw import request
from tests.wire.harness.recorder import eventually
from tests.wire.test_entrance import At, ask

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.more

FILE = SETUP / "compose" / "docker-compose.yml"
TEXT = FILE.read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
NETWORKS: dict[str, Any] = COMPOSE["services"]["portal-proxy"]["networks"]
COMMANDS = [words.split() for words in re.findall(r"run --rm portal-proxy (.*)", TEXT)]
ADDED = [words for words in COMMANDS if words[:2] == ["apps", "add"]]
APP_NETWORKS = [words[2] for words in ADDED]


def run(folder: Path, *words: str) -> None:
    variables = environment() | {
        "PORTAL_CONFIG": str(folder / "config"),
        "PORTAL_STATE": str(folder / "state"),
    }
    command = [sys.executable, "-m", "proxy", *words]
    done = subprocess.run(
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_each_app_that_is_added_has_a_network_of_its_own_with_the_names_it_knows() -> None:
    assert len(ADDED) > 1
    assert set(NETWORKS) == {"outside", *APP_NETWORKS} == set(COMPOSE["networks"])
    assert not NETWORKS["outside"]
    names = [set(NETWORKS[app]["aliases"]) - ECOSYSTEM_HOSTS for app in APP_NETWORKS]
    assert all(set(NETWORKS[app]["aliases"]) > ECOSYSTEM_HOSTS for app in APP_NETWORKS)
    assert all(len(each) == 1 for each in names)
    assert len(set.union(*names)) == len(APP_NETWORKS)  # a name of two networks has two addresses
    outside = [COMPOSE["networks"][app]["name"] for app in APP_NETWORKS]
    assert len(set(outside)) == len(outside)


def test_the_listener_that_apps_share_is_on_none_of_these_networks() -> None:
    assert "PORTAL_LISTEN_APPS" not in COMPOSE["services"]["portal-proxy"]["environment"]
    assert "TOKEN" not in TEXT


def test_the_commands_put_each_entrance_at_the_name_of_that_network_alone(tmp_path: Path) -> None:
    for words in COMMANDS:
        run(tmp_path, *words)
    for app in APP_NETWORKS:
        entrance = load_settings(tmp_path / "config" / "apps" / app).entrance
        assert entrance is not None
        assert not entrance.asks_token
        assert entrance.address.port == 80
        on = [name for name, how in NETWORKS.items()
              if entrance.address.host in (how.get("aliases") or ())]  # fmt: skip
        assert on == [app]


def test_there_the_app_comes_in_and_nobody_from_the_network_outside(tmp_path: Path) -> None:
    """One network is the first app's, the other is the one called outside."""
    init, (app, address, *_) = COMMANDS[0], (ADDED[0][2], APPS)
    name = next(word for word in ADDED[0] if word.startswith("proxy."))
    with own_networks() as networks:
        run(tmp_path, *init)
        run(tmp_path, *(f"{address}:80" if word == name else word for word in ADDED[0]))
        variables = environment() | {
            "PORTAL_CONFIG": str(tmp_path / "config"),
            "PORTAL_STATE": str(tmp_path / "state"),
        }
        command = [sys.executable, "-m", "proxy", *COMPOSE["services"]["portal-proxy"]["command"]]
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_for_ports(process, 8080, 8081, log=tmp_path / "log")
            opened = f"the entrance of {app} is open"
            eventually(lambda: opened in (tmp_path / "log").read_text("utf-8"))
            for host in ECOSYSTEM_HOSTS:
                made = networks.reach(networks.app, APPS, 80)
                got = ask(At(made), request("GET", "/protected/peers", ("Host", host)))
                assert (got.status, got.body) == (200, b"[]")
            for target, port in ((APPS, 80), (BETWEEN, 80), (APPS, 8081), (BETWEEN, 8081)):
                with pytest.raises(ConnectionRefusedError):
                    networks.reach(networks.stranger, target, port)
            with pytest.raises(ConnectionRefusedError):
                networks.reach(networks.app, APPS, 8081)
            networks.reach(networks.stranger, BETWEEN, 8080).close()
        finally:
            end(process)
