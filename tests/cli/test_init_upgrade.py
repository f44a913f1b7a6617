"""A Portal of before it named itself and its state's version: an upgrade keeps everything."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from proxy.config.portal_yaml import load_config
from proxy.server.compose import compose
from proxy.state.layout import State
from proxy.state.schema import VERSION, check_version
from tests.cli.conftest import Home
from tests.state.test_schema_fixtures import FIXTURES, copied

if TYPE_CHECKING:
    from pathlib import Path

MADE_ANEW = "replay.sqlite3"


@pytest.fixture
def old(tmp_path: Path) -> Home:
    """Config and state as the first version left them."""
    shutil.copytree(FIXTURES / "version-1" / "config", tmp_path / "config")
    copied("version-1", tmp_path / "state")
    return Home(tmp_path)


def files(home: Home) -> dict[str, bytes]:
    return {
        str(path.relative_to(home.state)): path.read_bytes()
        for path in home.state.rglob("*")
        if path.is_file() and not path.name.startswith(MADE_ANEW) and path.suffix != ".lock"
    }


def test_it_isnt_served_until_its_settings_name_it_and_the_next_step_is_said(old: Home) -> None:
    before = files(old)
    for command in ("serve", "check"):
        done = old.call(command)
        assert done.status == 1
        assert "id: is missing." in done.stdout + done.stderr
        assert "`portal-proxy init` adds this line: id: " in done.stdout + done.stderr
    assert files(old) == before


def test_init_names_it_and_keeps_every_file(old: Home) -> None:
    before = files(old)
    own_id = old.own_id()
    settings = (old.config / "portal.yaml").read_text()
    done = old.call("init")
    assert done.status == 0, done.stderr
    assert "it names this Portal" in done.stdout
    after = (old.config / "portal.yaml").read_text()
    assert [line for line in after.splitlines() if line.startswith("id: ")] == [f"id: {own_id}"]
    assert set(settings.splitlines()) <= set(after.splitlines())
    new = files(old)
    assert {name: data for name, data in new.items() if name in before} == before
    assert new.keys() - before.keys() == {"schema.json"}
    assert check_version(old.state) == VERSION
    checked = old.call("check")
    assert checked.status == 0, checked.stdout


def test_it_is_itself_afterwards(old: Home) -> None:
    own_id = old.own_id()
    assert old.call("init").status == 0
    before = files(old)
    running = compose(load_config(old.config))
    portal = running.portal
    assert portal.id == own_id
    assert [peer.name for peer in portal.contact_list().peers] == ["Bob", "Cleo"]
    assert [each.name for each in portal.terminals.available.terminals] == ["Phone", "Laptop"]
    token = before["tokens/guestbook"].decode()
    assert running.tokens.app_of(token) == "guestbook"
    assert not running.problems()
    asyncio.run(running.close())
    lasting = ("identity.key", "contacts.yaml", "terminals.yaml", "tokens/guestbook")
    assert {name: files(old)[name] for name in lasting} == {name: before[name] for name in lasting}


def test_serve_marks_a_state_that_init_didnt(old: Home) -> None:
    with (old.config / "portal.yaml").open("a") as file:
        file.write(f"\nid: {old.own_id()}\n")
    running = compose(load_config(old.config))
    asyncio.run(running.close())
    assert check_version(old.state) == VERSION
    assert State(old.state).schema.stat().st_mode & 0o777 == 0o600
