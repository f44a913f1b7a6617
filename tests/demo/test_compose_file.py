"""What docker-compose.yml promises: who shares a network or a volume with whom."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.app_settings import load_settings
from proxy.core.access.call_routes import ECOSYSTEM_HOSTS

_ROOT = Path(__file__).resolve().parents[2]
_COMPOSE: dict[str, Any] = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
_SERVICES: dict[str, Any] = _COMPOSE["services"]
_PORTALS = ("ada", "bob", "cleo")
_APPS = ("postcards", "files")


def _volumes(service: str) -> set[str]:
    """Return the named volumes of a service."""
    mounts = _SERVICES[service]["volumes"]
    sources = (m["source"] if isinstance(m, dict) else m.split(":")[0] for m in mounts)
    return {source for source in sources if not source.startswith(".")}


def test_there_are_three_portals_with_a_proxy_and_two_apps_each() -> None:
    assert set(_SERVICES) == {f"{p}-{part}" for p in _PORTALS for part in ("proxy", *_APPS)}


@pytest.mark.parametrize("service", _SERVICES)
def test_every_container_is_fenced_in(service: str) -> None:
    settings = _SERVICES[service]
    assert settings["user"] == "10001:10001"
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert settings["healthcheck"]["test"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(settings)


@pytest.mark.parametrize("portal", _PORTALS)
@pytest.mark.parametrize("app", _APPS)
def test_an_app_is_on_a_network_with_its_proxy_and_nobody_else(portal: str, app: str) -> None:
    own = f"{portal}-{app}"
    assert _COMPOSE["networks"][own] == {"internal": True}
    assert set(_SERVICES[own]["networks"]) == {own}
    on_it = {name for name, settings in _SERVICES.items() if own in settings["networks"]}
    assert on_it == {own, f"{portal}-proxy"}


@pytest.mark.parametrize("portal", _PORTALS)
def test_the_proxies_alone_are_on_the_network_between(portal: str) -> None:
    networks = {f"{portal}-{app}" for app in _APPS}
    assert set(_SERVICES[f"{portal}-proxy"]["networks"]) == {*networks, "between"}


@pytest.mark.parametrize("portal", _PORTALS)
@pytest.mark.parametrize("app", _APPS)
def test_an_apps_entrance_is_at_a_name_of_its_own_network_alone(portal: str, app: str) -> None:
    folder = _ROOT / "config" / "compose" / portal / "apps" / app
    entrance = load_settings(folder).entrance
    assert entrance is not None
    assert not entrance.asks_token
    assert entrance.address.port == 80  # so that http://portal_core needs no port
    networks = [
        (service, network)
        for service, settings in _SERVICES.items()
        for network, how in settings["networks"].items()
        if entrance.address.host in how.get("aliases", ())
    ]
    assert networks == [(f"{portal}-proxy", f"{portal}-{app}")]


@pytest.mark.parametrize("portal", _PORTALS)
@pytest.mark.parametrize("app", _APPS)
def test_there_the_proxy_has_the_names_that_apps_know(portal: str, app: str) -> None:
    networks = _SERVICES[f"{portal}-proxy"]["networks"]
    assert set(networks[f"{portal}-{app}"]["aliases"]) > ECOSYSTEM_HOSTS
    assert not networks["between"]


def test_no_app_needs_a_token_or_a_setting() -> None:
    apps = [settings for name, settings in _SERVICES.items() if not name.endswith("-proxy")]
    assert not any("environment" in settings for settings in apps)
    assert "HTTP_PROXY" not in json.dumps(_COMPOSE)
    assert "token" not in json.dumps(_COMPOSE)


@pytest.mark.parametrize("portal", _PORTALS)
def test_state_and_storage_are_each_ones_own(portal: str) -> None:
    assert [s for s in _SERVICES if f"{portal}-state" in _volumes(s)] == [f"{portal}-proxy"]
    storage = f"{portal}-postcards-storage"
    assert [s for s in _SERVICES if storage in _volumes(s)] == [f"{portal}-postcards"]


@pytest.mark.parametrize("service", _SERVICES)
def test_files_of_this_machine_are_mounted_read_only(service: str) -> None:
    binds = [m for m in _SERVICES[service]["volumes"] if isinstance(m, str) and m[0] == "."]
    assert all(bind.endswith(":ro") for bind in binds)
    assert all((_ROOT / bind.split(":")[0]).exists() for bind in binds)


@pytest.mark.parametrize("service", _SERVICES)
def test_only_public_listeners_are_published_and_only_on_loopback(service: str) -> None:
    ports = _SERVICES[service].get("ports", [])
    portal, part = service.split("-")
    if part != "proxy":
        assert ports == []
        return
    config = yaml.safe_load((_ROOT / "config" / "compose" / portal / "portal.yaml").read_text())
    published = config["public_url"].rpartition(":")[2]
    assert ports == [f"127.0.0.1:{published}:8080"]


@pytest.mark.parametrize("portal", _PORTALS)
def test_only_the_public_listener_is_on_the_network_between(portal: str) -> None:
    config = yaml.safe_load((_ROOT / "config" / "compose" / portal / "portal.yaml").read_text())
    assert config["listen"]["apps"].startswith("127.0.0.1:")
    assert config["listen"]["owner"].startswith("127.0.0.1:")
    assert config["listen"]["public"] == "0.0.0.0:8080"


@pytest.mark.parametrize("portal", _PORTALS)
@pytest.mark.parametrize("app", _APPS)
def test_an_app_starts_when_its_proxy_is_healthy(portal: str, app: str) -> None:
    needs = _SERVICES[f"{portal}-{app}"]["depends_on"]
    assert needs == {f"{portal}-proxy": {"condition": "service_healthy"}}
