"""State folders as programs of each version wrote them: all that is in them goes on working.

These files are kept for ever, and never changed: they stand for the files of people whom nobody
can ask. Who raises a version adds a folder of it, made by the program itself, and its sums.
"""

from __future__ import annotations

import json
import shutil
import time
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.state.backup_note import last_backup
from proxy.state.contacts import ContactStore
from proxy.state.identity_key import has_id_line, load_identity
from proxy.state.layout import State
from proxy.state.replay import ReplayStore
from proxy.state.schema import SCHEMAS, VERSION, check_version, mark_version, refuse_later
from proxy.state.sealing_keys import SealingKeyStore
from proxy.state.sealing_keys.format import key_id_of, parse
from proxy.state.surplus_responses import SurplusResponses, _sightings
from proxy.state.terminals import PairingStore, TerminalStore
from proxy.state.tokens import TokenStore

FIXTURES = Path(__file__).with_name("fixtures")
SUMS = FIXTURES / "SHA256SUMS"
FOLDERS = ["version-1", "version-2", "version-3"]
TODAY = f"version-{VERSION}"
MADE_BY_ACME = {"acme/account.json", "acme/failure.json"}
"""Of those that got a certificate by themselves alone."""

folders = pytest.mark.parametrize("folder", FOLDERS)


def sums() -> dict[str, str]:
    """Return the SHA-256 of each fixture, by its path."""
    lines = [line.partition("  ") for line in SUMS.read_text("ascii").splitlines()]
    return {path: found for found, _, path in lines}


def copied(folder: str, to: Path) -> State:
    """Return a copy of a state folder, with the modes that git doesn't keep."""
    shutil.copytree(FIXTURES / folder / "state", to)
    for path in (to, *to.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return State(to)


@pytest.fixture
def state(folder: str, tmp_path: Path) -> State:
    return copied(folder, tmp_path / "state")


def test_no_fixture_was_changed_or_taken_away() -> None:
    """They are only added to. What has to be changed for a test isn't what people have."""
    there = {
        str(path.relative_to(FIXTURES)): sha256(path.read_bytes()).hexdigest()
        for path in FIXTURES.rglob("*")
        if path.is_file() and path != SUMS
    }
    assert there == sums()
    assert sorted(path.name for path in FIXTURES.iterdir() if path.is_dir()) == sorted(FOLDERS)


def test_there_is_one_of_todays_version_of_each_file() -> None:
    state = State(FIXTURES / TODAY / "state")
    assert json.loads(state.schema.read_bytes()) == {"v": VERSION}
    for schema in SCHEMAS:
        if schema.look is None or schema.names in MADE_BY_ACME:
            continue
        found = [schema.look(path.read_bytes()) for path in state.folder.glob(schema.names)]
        assert found, schema.names
        assert {stated or 1 for stated in found} == {schema.version}, schema.names


@folders
def test_its_version_is_known(folder: str, state: State) -> None:
    assert folder == f"version-{check_version(state.folder)}"
    refuse_later(state)
    mark_version(state.folder)
    assert check_version(state.folder) == VERSION


@folders
def test_the_identity_is_the_same(state: State) -> None:
    portal_id = load_identity(state.identity_key).public.portal_id
    assert has_id_line(state.identity_key)
    assert state.identity_key.read_text("ascii").startswith(f"Portal ID: {portal_id}\n")


@folders
def test_the_contacts_are_all_there(state: State) -> None:
    contacts = ContactStore(state.contacts, "p.example.org").load()
    assert [(peer.name, peer.mode) for peer in contacts.peers] == [
        ("Bob", "sealed"), ("Cleo", "signed")
    ]  # fmt: skip
    assert contacts.peers[1].address == "https://cleo.example"
    bob = contacts.peers[0].id
    assert dict(contacts.apps) == {"guestbook": "all", "files": frozenset({bob})}


@folders
def test_the_devices_are_all_there(state: State) -> None:
    terminals = TerminalStore(state.terminals).load().terminals
    assert [each.name for each in terminals[:2]] == ["Phone", "Laptop"]
    assert not any(each.app for each in terminals[:2])


@pytest.mark.parametrize("folder", [TODAY])
def test_a_device_with_a_token_is_there_for_its_app(state: State) -> None:
    *_, last = TerminalStore(state.terminals).load().terminals
    assert (last.name, last.app) == ("Calendar", "files")


@folders
def test_an_open_code_is_known(state: State) -> None:
    pairing = PairingStore(state.pairing, TerminalStore(state.terminals)).load()
    assert [len(code.sha256) for code in pairing.codes] == [32]
    assert len(pairing.tries) == 1


@folders
def test_sealing_keys_open_what_was_sealed_to_them(state: State) -> None:
    files = [path for path in state.sealing.iterdir() if key_id_of(path.name) is not None]
    assert files
    for path in files:
        key_id = key_id_of(path.name)
        assert key_id is not None
        stored = parse(key_id, path.read_bytes())
        store = SealingKeyStore(state.sealing, 86_400)
        assert store.inspect(stored.made + 60) == ()
        assert store.find(key_id) is not None


@folders
def test_tokens_are_as_apps_know_them(state: State) -> None:
    token = (state.tokens / "guestbook").read_text("ascii")
    assert TokenStore(state.tokens).token("guestbook") == token
    assert TokenStore(state.tokens).app_of(token) == "guestbook"


@folders
def test_sightings_are_read(state: State) -> None:
    found = _sightings("file", state.surplus_responses.read_bytes())
    assert found.keys() == {"files"}
    SurplusResponses(state.surplus_responses).load()


@folders
def test_a_replay_store_of_before_is_made_anew_and_calls_are_taken(state: State) -> None:
    store = ReplayStore(state.replays)
    store.open(time.time())
    assert store.look_again(time.time()) is not None
    store.close()


@pytest.mark.parametrize("folder", [TODAY])
def test_the_last_backup_is_known(state: State) -> None:
    portal_id = load_identity(state.identity_key).public.portal_id
    assert last_backup(state.backup_note, portal_id) is not None
