"""A state that a later program wrote is refused by every command, and nothing of it is touched."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

import pytest
import typer.main

from proxy.cli.root import with_commands
from proxy.config.portal_yaml import load_config
from proxy.core.errors import LaterVersion
from proxy.server.compose import compose
from proxy.state.layout import State
from proxy.state.owner_token import make_owner_token
from proxy.state.running_note import note_running
from proxy.state.schema import SCHEMAS, VERSION, schema_of
from proxy.state.surplus_responses import SurplusResponses
from tests.cli.conftest import GUESTBOOK, Home

if TYPE_CHECKING:
    from pathlib import Path

FRIEND = "8271dd" + "a" * 97
LATER = b'{"v": %d, "files": {}}' % (VERSION + 1)
SENTENCE = (
    "schema.json: is of version 4, and this program knows 3 at most: run the later program that "
    "wrote it; or move the state folder away and restore the backup of before"
)
COMMANDS: dict[str, list[str]] = {
    "init": [],
    "init --new-identity": [],
    "serve": [],
    "serve --init": [],
    "check": [],
    "health": [],
    "status": [],
    "id": [],
    "card": [],
    "backup": ["{folder}/new.age", "--passphrase-file", "{folder}/secret"],
    "restore": ["{folder}/old.age", "--replace", "--passphrase-file", "{folder}/secret"],
    "call": ["Bob", "guestbook", "/peer"],
    "ping": ["Bob"],
    "peers list": [],
    "peers add": ["8271de" + "a" * 97, "--name", "Cleo"],
    "peers set": ["Bob", "--mode", "signed"],
    "peers remove": ["Bob"],
    "peers rename": ["Bob", "Rob"],
    "peers edit": [],
    "apps list": [],
    "apps add": ["notes", "--upstream", "http://127.0.0.1:9", "--private", "/", "--allow", "all"],
    "apps allow": ["guestbook", "all"],
    "apps env": ["guestbook"],
    "apps remove": ["guestbook", "--yes"],
    "apps token": ["guestbook", "--rotate"],
    "terminals add": ["--token", "--app", "files"],
    "terminals list": [],
    "terminals pair": [],
    "terminals rename": ["abc123", "Phone"],
    "terminals remove": ["abc123"],
}
OF_NO_PORTAL = {"dev", "schema", "service install", "service print"}
"""They read and write no state."""


@pytest.fixture
def used(ada: Home) -> Home:
    """Ada's Portal, with an app, a contact, a token and a code."""
    ada.add_app("guestbook", GUESTBOOK)
    assert ada.call("peers", "add", FRIEND, "--name", "Bob").status == 0
    assert ada.call("apps", "token", "guestbook").status == 0
    assert ada.call("terminals", "pair").status == 0
    (ada.path / "secret").write_text("four words would do\n")
    (ada.path / "old.age").write_bytes(b"age-encryption.org/v1")
    return ada


@pytest.fixture
def backed_up(used: Home) -> Home:
    """The same, with a backup that can be opened: it takes a second."""
    back_up(used)
    return used


def back_up(home: Home) -> None:
    file = home.path / "old.age"
    file.unlink()
    made = home.call("backup", str(file), "--passphrase-file", f"{home.path}/secret")
    assert made.status == 0, made.stderr


def tree(home: Home) -> dict[str, tuple[bytes, int]]:
    """Return each file, and when it was changed."""
    return {
        str(path.relative_to(home.path)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in home.path.rglob("*")
        if path.is_file()
    }


def put(home: Home, name: str, data: bytes) -> None:
    path = home.state / name
    path.write_bytes(data)
    path.chmod(0o600)


def run(home: Home, command: str) -> tuple[int, str]:
    """Run a command; returns its status, and what it says is wrong."""
    words = [word.format(folder=home.path) for word in COMMANDS[command]]
    done = home.call(*command.split(), *words, VISUAL="touch")
    return done.status, done.stdout + done.stderr


def test_no_command_is_left_out() -> None:
    root = typer.main.get_group(with_commands())
    names = set()
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        names |= {f"{name} {each}" for each in inner} if inner else {name}
    assert names - OF_NO_PORTAL == {name.partition(" --")[0] for name in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_refuses_a_later_state_and_touches_nothing(command: str, used: Home) -> None:
    put(used, "schema.json", LATER)
    before = tree(used)
    status, said = run(used, command)
    assert status == 1
    told = [line for line in said.splitlines() if "version" in line]
    assert len(told) == 1, said
    assert told[0].endswith(SENTENCE)
    assert tree(used) == before


@pytest.mark.parametrize("command", ["serve", "init", "check", "peers list", "health"])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("contacts.yaml", b"v: 2\nfriends: []\n"),
        ("terminals.yaml", b"v: 3\n"),
        ("pairing.yaml", b"v: 3\n"),
        ("identity.key", b"Portal key version: 2\n"),
        ("backup.json", b'{"v": "2"}'),
        ("running.json", b'{"v": "2"}'),
        ("surplus-responses.json", b'{"v": 2}'),
        ("sealing/7.key", b"portal-sealing-key-3 x\n"),
    ],
)
def test_a_single_later_file_is_enough(command: str, name: str, data: bytes, used: Home) -> None:
    (used.state / "sealing").mkdir(mode=0o700, exist_ok=True)
    put(used, name, data)
    before = tree(used)
    status, said = run(used, command)
    assert status == 1
    assert f"{name}: is of version " in said
    assert tree(used) == before


@pytest.mark.parametrize("command", ["serve", "check", "peers add", "init"])
def test_so_does_one_that_nobody_can_read(command: str, used: Home) -> None:
    put(used, "schema.json", b"{")
    before = tree(used)
    status, said = run(used, command)
    assert status == 1
    assert "schema.json: isn't what the proxy writes, or is damaged" in said
    assert tree(used) == before


def test_an_embedded_portal_refuses_it_too(used: Home) -> None:
    put(used, "schema.json", LATER)
    before = tree(used)
    with pytest.raises(LaterVersion):
        compose(load_config(used.config))
    assert tree(used) == before


def test_init_makes_no_key_in_a_later_state_whose_settings_are_lost(used: Home) -> None:
    put(used, "schema.json", LATER)
    shutil.rmtree(used.config)
    (used.state / "identity.key").unlink()
    before = tree(used)
    done = used.call("init", "--name", "Ada", "--domain", "p.getportal.org")
    assert done.status == 1
    assert SENTENCE in done.stderr
    assert tree(used) == before


def test_restore_puts_no_settings_beside_a_later_state(backed_up: Home) -> None:
    put(backed_up, "schema.json", LATER)
    shutil.rmtree(backed_up.config)
    before = tree(backed_up)
    status, said = run(backed_up, "restore")
    assert status == 1
    assert SENTENCE in said
    assert tree(backed_up) == before


def test_a_state_that_is_moved_away_leaves_room_for_the_backup_of_before(backed_up: Home) -> None:
    """As the sentence says."""
    own_id, contacts = backed_up.own_id(), backed_up.contacts_text()
    put(backed_up, "schema.json", LATER)
    backed_up.state.rename(backed_up.path / "later")
    status, said = run(backed_up, "restore")
    assert status == 0, said
    assert backed_up.own_id() == own_id
    assert backed_up.contacts_text() == contacts
    assert backed_up.call("init").status == 0
    assert backed_up.call("check").status == 0


def test_every_file_of_a_state_that_was_used_is_of_a_known_kind(used: Home, tmp_path: Path) -> None:
    """So a new file without a version, or a line in the table, doesn't come by unnoticed."""
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho 'peers: 3' > \"$1\"\n")
    editor.chmod(0o755)
    assert used.call("peers", "edit", VISUAL=str(editor)).status == 1
    config = load_config(used.config)
    state = State(config.state)
    running = compose(config)
    portal = running.portal
    typed = portal.pairing.new_code(time.time()).typed
    portal.pairing.redeem(typed, "192.0.2.1", "Phone", time.time())
    running.deliver_tokens()
    make_owner_token(state.owner_token)
    SurplusResponses(state.surplus_responses).note(["guestbook"])
    note_running(state.running_note, portal.id, config.folder, [])
    portal.terminals.refresh()
    back_up(used)
    terminals = used.call("terminals", "rename", portal.terminals.current.terminals[0].id, "Fon")
    assert terminals.status == 0, terminals.stderr
    running_files = {str(path.relative_to(used.state)) for path in files_of(used)}
    asyncio.run(running.close())
    used.call("peers", "rename", "Bob", "Rob")
    assert run(used, "restore")[0] == 0
    assert used.call("init", "--new-identity").status == 0
    found = running_files | {str(path.relative_to(used.state)) for path in files_of(used)}
    assert [name for name in sorted(found) if schema_of(name) is None] == []
    kinds = {schema.names for name in found if (schema := schema_of(name)) is not None}
    only_there_for_acme = {each.names for each in SCHEMAS if each.names.startswith("acme/")}
    assert {each.names for each in SCHEMAS} - only_there_for_acme == kinds


def files_of(home: Home) -> list[Path]:
    return [path for path in home.state.rglob("*") if path.is_file()]
