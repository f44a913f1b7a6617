"""What of a changed portal.yaml holds at once, and what from the next start."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from proxy.config.portal_yaml import Config, load_config
from proxy.config.reload import LIVE, reload_of

_TEXT = "id: new\nname: Ada\ndomain: a.example\n"


def load(folder: Path, more: str = "") -> Config:
    (folder / "portal.yaml").write_text(_TEXT + more)
    return load_config(folder, {})


def test_the_same_file_changes_nothing(tmp_path: Path) -> None:
    running = load(tmp_path)
    plan = reload_of(running, load(tmp_path))
    assert (plan.now, plan.taken, plan.waiting) == (running, (), ())


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ("aliases: [b.example]", ("aliases",)),
        ("accept: [sealed]", ("accept",)),
        ("sealing_rotation: 1h", ("sealing_rotation",)),
        ("trusted_proxies: [127.0.0.1]", ("trusted_proxies",)),
        ("grace: 1s", ("grace",)),
        ("log: json", ("log",)),
        ("timeouts: {head: 2s, idle: 3s}", ("timeouts.head", "timeouts.idle")),
        ("limits: {connections: 5}", ("limits.connections",)),
    ],
)
def test_these_hold_at_once(tmp_path: Path, more: str, keys: tuple[str, ...]) -> None:
    running, file = load(tmp_path), load(tmp_path, more)
    plan = reload_of(running, file)
    assert (plan.taken, plan.waiting) == (keys, ())
    assert plan.now == file


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ("public_url: https://b.example", ("public_url",)),
        ("listen: {apps: 127.0.0.1:1, owner: 127.0.0.1:2}", ("listen.apps", "listen.owner")),
        ("tls: {certificate: a, key: b}", ("tls",)),
        ("state: elsewhere", ("state",)),
        ("identity_key: elsewhere", ("identity_key",)),
    ],
)
def test_these_wait_for_a_start(tmp_path: Path, more: str, keys: tuple[str, ...]) -> None:
    running = load(tmp_path)
    plan = reload_of(running, load(tmp_path, more))
    assert (plan.now, plan.taken, plan.waiting) == (running, (), keys)


def test_of_both_kinds_each_goes_its_way(tmp_path: Path) -> None:
    running = load(tmp_path)
    plan = reload_of(running, load(tmp_path, "grace: 1s\nstate: elsewhere\n"))
    assert (plan.taken, plan.waiting) == (("grace",), ("state",))
    assert (plan.now.grace, plan.now.state) == (1.0, running.state)


def test_one_path_in_two_spellings_is_no_change(tmp_path: Path) -> None:
    running = load(tmp_path)
    same = replace(running, state=tmp_path.parent / "state")
    assert reload_of(same, running).waiting == ()


def test_how_many_descriptors_there_are_is_the_machine_s(tmp_path: Path) -> None:
    file = load(tmp_path, "limits: {connections: 5}")
    running = replace(load(tmp_path), limits=replace(load(tmp_path).limits, descriptors=1024))
    plan = reload_of(running, file)
    assert plan.taken == ("limits.connections",)
    assert plan.now.limits.descriptors == 1024


def test_what_nobody_thought_of_waits_for_a_start() -> None:
    assert {each.name for each in fields(Config)} >= LIVE
