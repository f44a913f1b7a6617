"""What of a changed portal.yaml holds at once, and what from the next start: each of its keys."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from proxy.config.environment import PREFIX
from proxy.config.portal_yaml import VARIABLES, Config, load_config
from proxy.config.reload import LIVE, reload_of
from proxy.core.identity import PrivateKey

_GUIDE = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
_OTHER_ID = PrivateKey(bytes(32)).public.portal_id

_BASE: dict[str, Any] = {
    "id": "new",
    "name": "Ada",
    "domain": "a.example",
    "public_url": "https://a.example",
    "app_hosts": "true",
    "aliases": ["b.example"],
    "accept": ["sealed"],
    "sealing_rotation": "24h",
    "state": "../state",
    "identity_key": "a",
    "listen": {
        "public": "unix:public",
        "public_mode": "0600",
        "apps": "unix:apps",
        "apps_mode": "0600",
        "owner": "unix:owner",
        "owner_mode": "0600",
    },
    "tls": {"certificate": "a", "key": "b"},
    "peer_authorities": "a",
    "timeouts": {},
    "limits": {},
    "grace": "7s",
    "trusted_proxies": ["127.0.0.1"],
    "log": "auto",
}
"""A file with a value for everything that has no default."""
_WITH_ACME = {
    **{key: value for key, value in _BASE.items() if key != "tls"},
    "app_hosts": "false",
    "acme": {"agree": "true", "email": "ada@a.example"},
}
"""The same where the certificate is got by the proxy, and not the owner's."""
_FIXED = frozenset({"acme.agree"})
"""What has one value only."""

_START: Literal["start"] = "start"
_NOW: Literal["now"] = "now"
_KEYS: dict[str, tuple[object, Literal["start", "now"]]] = {
    "id": (_OTHER_ID, _START),
    "name": ("Zoe", _NOW),
    "domain": ("b.example", _START),
    "public_url": ("https://b.example", _START),
    "app_hosts": ("false", _START),
    "aliases": (["c.example"], _NOW),
    "accept": (["sealed", "signed"], _NOW),
    "sealing_rotation": ("1h", _NOW),
    "state": ("elsewhere", _START),
    "identity_key": ("elsewhere", _START),
    "listen.public": ("unix:elsewhere", _START),
    "listen.public_mode": ("0660", _START),
    "listen.apps": ("unix:elsewhere", _START),
    "listen.apps_mode": ("0660", _START),
    "listen.owner": ("unix:elsewhere", _START),
    "listen.owner_mode": ("0660", _START),
    "tls.certificate": ("elsewhere", _START),
    "tls.key": ("elsewhere", _START),
    "peer_authorities": ("elsewhere", _START),
    "acme.email": ("zoe@b.example", _START),
    "acme.directory": ("https://elsewhere.example/directory", _START),
    "acme.names": (["b.example"], _START),
    "acme.listen": ("127.0.0.1:2", _START),
    "acme.authorities": ("elsewhere", _START),
    "timeouts.head": ("2s", _NOW),
    "timeouts.idle": ("2s", _NOW),
    "timeouts.client_body": ("2s", _NOW),
    "timeouts.client_send": ("2s", _NOW),
    "timeouts.app_connect": ("2s", _NOW),
    "timeouts.app_answer": ("2s", _NOW),
    "timeouts.peer_connect": ("2s", _NOW),
    "timeouts.peer_answer": ("2s", _NOW),
    "limits.body": ("1 MiB", _NOW),
    "limits.held_body": ("1 MiB", _NOW),
    "limits.spooled_body": ("1 MiB", _NOW),
    "limits.connections": ("5", _NOW),
    "limits.connections_per_address": ("5", _NOW),
    "limits.requests_per_peer": ("5", _NOW),
    "limits.requests_per_app": ("5", _NOW),
    "limits.websocket_message": ("1 MiB", _NOW),
    "limits.rate_per_client": ("5/s burst 9", _NOW),
    "limits.rate_per_peer": ("5/s burst 9", _NOW),
    "limits.rate_per_app": ("5/s burst 9", _NOW),
    "grace": ("1s", _NOW),
    "trusted_proxies": (["unix"], _NOW),
    "log": ("json", _NOW),
}
"""Each key of the file: another value, and when that holds."""


def load(folder: Path, base: Mapping[str, Any] = _BASE, **settings: object) -> Config:
    # JSON is YAML, too.
    (folder / "portal.yaml").write_text(json.dumps({**base, **settings}))
    return load_config(folder, {})


def test_each_key_is_in_the_table() -> None:
    keys = {PREFIX + key.upper().replace(".", "_") for key in (*_KEYS, *_FIXED)}
    assert keys == VARIABLES


@pytest.mark.parametrize("key", _KEYS)
def test_a_key_holds_at_once_or_is_told_by_its_name(tmp_path: Path, key: str) -> None:
    value, when = _KEYS[key]
    section, _, name = key.rpartition(".")
    base = _WITH_ACME if section == "acme" else _BASE
    running = load(tmp_path, base)
    file = load(
        tmp_path, base, **({section: {**base[section], name: value}} if section else {key: value})
    )
    plan = reload_of(running, file)
    told = {_START: ((), (key,)), _NOW: ((key,), ())}
    assert (plan.taken, plan.waiting) == told[when]
    assert plan.now == (file if when == _NOW else running)
    assert key.partition(".")[0] in LIVE if when == _NOW else key.partition(".")[0] not in LIVE


@pytest.mark.parametrize("section", ["tls", "peer_authorities", "identity_key", "public_url"])
def test_one_that_comes_or_goes_waits_as_well(tmp_path: Path, section: str) -> None:
    running = load(tmp_path)
    (tmp_path / "portal.yaml").write_text(
        json.dumps({key: value for key, value in _BASE.items() if key != section})
    )
    file = load_config(tmp_path, {})
    assert reload_of(running, file).waiting == (section,)
    assert reload_of(file, running).waiting == (section,)


def test_the_guide_names_what_holds_at_once() -> None:
    text = _GUIDE.read_text("utf-8").split("**What SIGHUP takes over**:", 1)[1].split(".", 1)[0]
    assert set(re.findall(r"`(\w+)`", text)) == LIVE


def test_the_same_file_changes_nothing(tmp_path: Path) -> None:
    running = load(tmp_path)
    plan = reload_of(running, load(tmp_path))
    assert (plan.now, plan.taken, plan.waiting) == (running, (), ())


def test_of_both_kinds_each_goes_its_way(tmp_path: Path) -> None:
    running = load(tmp_path)
    plan = reload_of(running, load(tmp_path, grace="1s", state="elsewhere"))
    assert (plan.taken, plan.waiting) == (("grace",), ("state",))
    assert (plan.now.grace, plan.now.state) == (1.0, running.state)


@pytest.mark.parametrize(
    "address", [{"public_url": "https://a.example"}, {"app_hosts": "true", "accept": ["signed"]}]
)
def test_modes_that_an_address_lets_in_wait_until_it_holds(
    tmp_path: Path, address: dict[str, Any]
) -> None:
    plain = load(tmp_path, public_url="http://a.example", app_hosts="false", accept=["sealed"])
    file = load(tmp_path, **{"accept": ["sealed", "signed"], **address})
    plan = reload_of(plain, file)
    assert plan.now.accept == {"sealed"}
    assert "accept" in plan.waiting
    assert reload_of(file, plain).now.accept == file.accept


def test_one_path_in_two_spellings_is_no_change(tmp_path: Path) -> None:
    running = load(tmp_path)
    same = load(tmp_path, state=str(tmp_path.parent / "state"))
    assert reload_of(running, same).waiting == ()


def test_what_becomes_of_a_change_is_known_without_asking_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``/health`` tells it, from the event loop."""
    running, file = load(tmp_path), load(tmp_path, state="elsewhere")

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    with monkeypatch.context() as patched:
        for name in ("stat", "lstat", "readlink", "open"):
            patched.setattr(f"os.{name}", never)
        plan = reload_of(running, file)
    assert plan.waiting == ("state",)


def test_how_many_descriptors_there_are_is_the_machine_s(tmp_path: Path) -> None:
    file = load(tmp_path, limits={"connections": "5"})
    running = replace(load(tmp_path), limits=replace(load(tmp_path).limits, descriptors=1024))
    plan = reload_of(running, file)
    assert plan.taken == ("limits.connections",)
    assert plan.now.limits.descriptors == 1024


def test_what_nobody_thought_of_waits_for_a_start() -> None:
    assert {each.name for each in fields(Config)} >= LIVE
