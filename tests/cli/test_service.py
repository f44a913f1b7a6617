"""``service``: what is put in place, and what is said of it."""

import os
from pathlib import Path

import pytest

from proxy.cli import service as command
from proxy.cli import service_unit
from tests.cli.conftest import Home


@pytest.fixture(autouse=True)
def _program_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the program where a service could run it, wherever these tests run."""
    monkeypatch.setattr(command, "program_of_this", lambda: (Path("/usr/bin/env"),))


def test_print_changes_nothing(home: Home) -> None:
    said = home.call("service", "print")
    assert said.status == 0
    assert "ExecStart=/usr/bin/env serve" in said.stdout.splitlines()
    assert "User=portal" in said.stdout.splitlines()
    assert list(home.path.iterdir()) == []


def test_a_package_gets_all_of_it_below_a_folder(home: Home) -> None:
    root = home.path / "package"
    said = home.call("service", "install", "--root", str(root))
    unit = root / "etc/systemd/system/portal-proxy.service"
    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.splitlines() == [
        f"Made       {root}/etc/portal-proxy",
        f"Made       {root}/var/lib/portal-proxy",
        f"Made       {unit}",
    ]
    assert (root / "var/lib/portal-proxy").stat().st_mode & 0o777 == 0o700
    assert unit.stat().st_mode & 0o777 == 0o644
    assert unit.read_text() == home.call("service", "print").stdout


def test_what_is_there_stays_unless_it_is_to_be_replaced(home: Home) -> None:
    words = ("service", "install", "--root", str(home.path))
    home.call(*words)
    assert "Same" in home.call(*words).stdout
    unit = home.path / "etc/systemd/system/portal-proxy.service"
    unit.write_text("mine")
    assert "which differs (--replace would replace it)" in home.call(*words).stdout
    assert unit.read_text() == "mine"
    assert "Replaced" in home.call(*words, "--replace").stdout
    assert unit.read_text() != "mine"
    assert unit.with_name("portal-proxy.service.before").read_text() == "mine"


def test_who_is_not_root_is_told_the_command(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo portal-proxy service install" in home.call("service", "install").reason


def test_a_program_that_a_service_can_not_see_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "program_of_this", lambda: (Path("/root/bin/portal-proxy"),))
    said = home.call("service", "install", "--root", str(home.path))
    assert (said.status, "pipx install --global" in said.reason) == (1, True)
    assert list(home.path.iterdir()) == []


def test_folders_that_others_may_not_enter_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir(mode=0o700)
    why = service_unit.why_out_of_reach((folder,))
    assert "service doesn't see" in why or f"may enter {folder}" in why
