"""Each file of the state folder in each version: of before, today's, a later one, and nonsense."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.access.policy import ContactList
from proxy.core.errors import Code, Invalid, LaterVersion, Refusal
from proxy.server import quick_health
from proxy.state import backup_note, running_note, surplus_responses
from proxy.state.backup_note import last_backup
from proxy.state.checksum import with_checksum
from proxy.state.contacts import ContactStore
from proxy.state.contacts import format as contacts_format
from proxy.state.contacts.format import serialise_contacts
from proxy.state.identity_key import VERSION as KEY_VERSION
from proxy.state.identity_key import create_identity, load_identity
from proxy.state.layout import State
from proxy.state.replay import ReplayStore
from proxy.state.replay_file import APPLICATION_ID, LAST_VERSION
from proxy.state.replay_file import VERSION as REPLAY_VERSION
from proxy.state.schema import (
    SCHEMAS,
    VERSION,
    check_version,
    mark_version,
    refuse_later,
    schema_of,
    version_problems,
)
from proxy.state.sealing_keys import SealingKeyStore
from proxy.state.sealing_keys import format as sealing_format
from proxy.state.sealing_keys.format import serialise
from proxy.state.surplus_responses import SurplusResponses
from proxy.state.terminals import PairingStore, TerminalStore
from proxy.state.terminals import format as terminals_format
from proxy.state.terminals.format import serialise_pairing, serialise_terminals
from proxy.state.tokens import TokenStore
from tests.state.contacts.test_format import LIST
from tests.state.test_layout_damaged import (
    PAIRING,
    load_contacts,
    load_pairing,
    load_sealing,
    load_terminals,
)
from tests.terminal_lists import BOTH, NOW, WITH_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ADA = "8271dd" + "a" * 97
KEY_LINE = b" 7 %d " % (NOW - 60) + b"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
WHOLE_SENTENCE = re.compile(
    r"\S+: is of version (\d+), and this program knows (\d+) at most: run the later program that "
    r"wrote it; or move the state folder away and restore the backup of before"
)
NONSENSE = [
    b"", b"{", b"2", b"[2]", b"{}", b'{"v": "2"}', b'{"v": 0}', b'{"v": -1}', b'{"v": 1.5}',
    b'{"v": true}', b'{"v": null}', b'{"v": 2, "v": 2}', b'{"v": 10000000000}', b"\xff\x00",
]  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> State:
    folder = tmp_path / "state"
    for each in (folder, folder / "sealing", folder / "tokens", folder / "acme"):
        each.mkdir(mode=0o700)
    return State(folder)


def put(state: State, name: str, data: bytes) -> Path:
    path = state.folder / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def load_backup(state: State) -> object:
    found = last_backup(state.backup_note, ADA)
    if found is None:
        raise Invalid([])
    return found


def load_replays(state: State) -> object:
    store = ReplayStore(state.replays)
    store.open(time.time())
    store.close()
    return True


def database(tmp_path: Path, version: int) -> bytes:
    """Return a replay store that says that it is of this version."""
    path = tmp_path / "made.sqlite3"
    path.unlink(missing_ok=True)
    store = ReplayStore(path)
    store.open(time.time())
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@dataclass(frozen=True)
class Forms:
    """One file in its versions; what is ``later`` but for its version may look like anything."""

    today: bytes
    later: bytes
    load: Callable[[State], object] | None = None
    before: bytes | None = None
    """Of an earlier version; None where there was none."""
    nonsense: bytes | None = None
    """None where no version can be read in it: then it is as good as damaged, or as today's."""
    is_made_anew: bool = False
    """Whether one that can't be gone on with is replaced."""


def note(version: object) -> bytes:
    return json.dumps({"v": version, "id": ADA, "made": NOW}).encode()


def forms(tmp_path: Path) -> dict[str, Forms]:
    create_identity(tmp_path / "made" / "identity.key")
    key = (tmp_path / "made" / "identity.key").read_bytes()
    account = {"directory": "https://acme.example/", "uri": "https://acme.example/1", "key": "x"}
    failure = {"reason": "no", "at": 1, "times": 1, "next_try": 2}
    lists = {
        "contacts.yaml": Forms(
            serialise_contacts(LIST),
            with_checksum(b"v: 2\nfriends: {}\n"),
            load_contacts,
            b"peers: []\n",
            b"v: two\npeers: []\n",
        ),
        "terminals.yaml": Forms(
            serialise_terminals(WITH_TOKEN),
            with_checksum(b"# Of another program.\nv: 3\ndevices: []\n"),
            load_terminals,
            serialise_terminals(BOTH),
            b"v: 0\nterminals: []\n",
        ),
    }
    return {
        **lists,
        **{f"{name}.before": Forms(each.today, each.later) for name, each in lists.items()},
        "identity.key": Forms(
            key,
            b"Portal key version: 2\n-----BEGIN POST-QUANTUM KEY-----\n",
            lambda state: load_identity(state.identity_key).public.portal_id,
            key.partition(b"\n")[2],
            b"Portal key version: x\n" + key,
        ),
        "pairing.yaml": Forms(
            serialise_pairing(PAIRING),
            with_checksum(b"v: 3\ncodes: {}\n"),
            load_pairing,
            b"v: 1\ncodes: []\ntries: []\n",
            b"v: -1\ncodes: []\ntries: []\n",
        ),
        "sealing/7.key": Forms(
            serialise(7, NOW - 60, bytes(range(32))),
            b"portal-sealing-key-3 something else\n",
            load_sealing,
            b"portal-sealing-key-1" + KEY_LINE + b"\n",
            b"portal-sealing-key-0" + KEY_LINE + b"\n",
        ),
        "replay.sqlite3": Forms(
            database(tmp_path, REPLAY_VERSION),
            database(tmp_path, REPLAY_VERSION + 1),
            load_replays,
            database(tmp_path, REPLAY_VERSION - 1),
            database(tmp_path, -5),
            is_made_anew=True,
        ),
        "backup.json": Forms(note("1"), note("2"), load_backup, None, note("x")),
        "running.json": Forms(b'{"v": "1", "listeners": []}', b'{"v": "2", "sockets": []}'),
        "surplus-responses.json": Forms(
            b'{"v": 1, "seen": {"app": 99999999999}}',
            b'{"v": 2, "seen": [], "more": {}}',
            lambda state: SurplusResponses(state.surplus_responses).load(),
            b'{"app": 99999999999}',
            b'{"v": "x", "seen": {"app": 99999999999}}',
        ),
        "acme/account.json": Forms(
            json.dumps({"v": "1", **account}).encode(), json.dumps({"v": "2", **account}).encode()
        ),
        "acme/failure.json": Forms(
            json.dumps({"v": "1", **failure}).encode(), json.dumps({"v": "2"}).encode()
        ),
        "schema.json": Forms(
            b'{"v": %d}' % VERSION,
            b'{"v": %d, "files": {}}' % (VERSION + 1),
            lambda state: check_version(state.folder),
            b'{"v": 1}',
            b'{"v": "two"}',
        ),
    }


WITH_A_VERSION = [
    "contacts.yaml", "contacts.yaml.before", "terminals.yaml", "terminals.yaml.before",
    "identity.key", "pairing.yaml", "sealing/7.key", "replay.sqlite3", "backup.json",
    "running.json", "surplus-responses.json", "acme/account.json", "acme/failure.json",
    "schema.json",
]  # fmt: skip
WITH_A_FORMER_ONE = [
    "contacts.yaml", "terminals.yaml", "identity.key", "pairing.yaml", "sealing/7.key",
    "replay.sqlite3", "surplus-responses.json", "schema.json",
]  # fmt: skip
THAT_CAN_BE_NONSENSE = [*WITH_A_FORMER_ONE, "backup.json"]
files = pytest.mark.parametrize("name", WITH_A_VERSION)


def test_the_tables_are_whole(tmp_path: Path) -> None:
    found = forms(tmp_path)
    assert sorted(found) == sorted(WITH_A_VERSION)
    assert {name for name, each in found.items() if each.before} == {*WITH_A_FORMER_ONE}
    assert {name for name, each in found.items() if each.nonsense} == {*THAT_CAN_BE_NONSENSE}
    told = {each.names for each in SCHEMAS if each.version is not None}
    assert {schema.names for name in WITH_A_VERSION if (schema := schema_of(name))} == told


def test_every_file_that_the_layout_names_is_of_a_known_kind(state: State) -> None:
    names = [name for name, value in vars(State).items() if isinstance(value, property)]
    paths: list[Path] = [getattr(state, name) for name in names]
    folders = [path for path in paths if path.is_dir()]
    assert {path.name for path in folders} == {"tokens", "sealing", "acme"}
    strange = [
        path for path in paths
        if path not in folders and schema_of(str(path.relative_to(state.folder))) is None
    ]  # fmt: skip
    assert strange == []


def test_each_module_has_the_version_that_the_table_has() -> None:
    versions: dict[str, Any] = {
        "identity.key": KEY_VERSION,
        "contacts.yaml": contacts_format.VERSION,
        "terminals.yaml": terminals_format.VERSION,
        "pairing.yaml": terminals_format.PAIRING_VERSION,
        "sealing/7.key": sealing_format.VERSION,
        "replay.sqlite3": REPLAY_VERSION,
        "backup.json": int(backup_note.VERSION),
        "running.json": int(running_note.VERSION),
        "surplus-responses.json": surplus_responses.VERSION,
        "schema.json": quick_health.VERSION,
    }
    for name, version in versions.items():
        schema = schema_of(name)
        assert schema is not None, name
        assert schema.version == version, name


@pytest.mark.parametrize(
    "name", ["strange", "tokens/a/b", "sealing/7.pem", "x/schema.json", "7.key"]
)
def test_what_is_no_file_of_ours_is_of_no_kind(name: str) -> None:
    assert schema_of(name) is None


@files
def test_todays_version_is_read(name: str, state: State, tmp_path: Path) -> None:
    each = forms(tmp_path)[name]
    path = put(state, name, each.today)
    refuse_later(state)
    if each.load is not None:
        assert each.load(state)
    if not each.is_made_anew:
        assert path.read_bytes() == each.today


@pytest.mark.parametrize("name", WITH_A_FORMER_ONE)
def test_a_version_of_before_is_taken_as_it_is(name: str, state: State, tmp_path: Path) -> None:
    each = forms(tmp_path)[name]
    assert each.before is not None
    assert each.load is not None
    path = put(state, name, each.before)
    refuse_later(state)
    assert each.load(state) is not None
    if not each.is_made_anew:
        assert path.read_bytes() == each.before


@files
def test_a_later_version_is_refused_in_a_sentence_and_left_alone(
    name: str, state: State, tmp_path: Path
) -> None:
    each = forms(tmp_path)[name]
    path = put(state, name, each.later)
    schema = schema_of(name)
    assert schema is not None
    with pytest.raises(LaterVersion) as caught:
        refuse_later(state)
    found = WHOLE_SENTENCE.fullmatch(str(caught.value))
    assert found is not None, str(caught.value)
    assert (int(found[1]), int(found[2])) == ((schema.version or 0) + 1, schema.version)
    assert str(caught.value).startswith(f"{path}: ")
    if each.load is not None:
        with pytest.raises(Invalid):
            each.load(state)
    assert path.read_bytes() == each.later


@pytest.mark.parametrize("name", THAT_CAN_BE_NONSENSE)
def test_nonsense_is_told_and_never_taken_for_a_version(
    name: str, state: State, tmp_path: Path
) -> None:
    each = forms(tmp_path)[name]
    assert each.nonsense is not None
    assert each.load is not None
    path = put(state, name, each.nonsense)
    if name != "schema.json":
        refuse_later(state)
    if each.is_made_anew:
        assert each.load(state)
        assert path.read_bytes() != each.nonsense
        return
    with pytest.raises(Invalid):
        each.load(state)
    assert path.read_bytes() == each.nonsense


@pytest.mark.parametrize("data", NONSENSE)
def test_a_folder_that_nobody_knows_of_which_version_it_is_isnt_used(
    data: bytes, state: State
) -> None:
    path = put(state, "schema.json", data)
    with pytest.raises(LaterVersion, match="isn't what the proxy writes, or is damaged"):
        refuse_later(state)
    with pytest.raises(LaterVersion):
        mark_version(state.folder)
    assert path.read_bytes() == data


def test_a_folder_is_marked_once_and_never_back(state: State) -> None:
    assert check_version(state.folder) == 1
    mark_version(state.folder)
    assert json.loads(state.schema.read_bytes()) == {"v": VERSION}
    assert state.schema.stat().st_mode & 0o777 == 0o600
    inode = state.schema.stat().st_ino
    mark_version(state.folder)
    assert state.schema.stat().st_ino == inode
    put(state, "schema.json", b'{"v": 1}')
    mark_version(state.folder)
    assert check_version(state.folder) == VERSION
    put(state, "schema.json", b'{"v": 99}')
    with pytest.raises(LaterVersion):
        mark_version(state.folder)
    assert state.schema.read_bytes() == b'{"v": 99}'


def test_one_that_is_marked_by_a_later_program_meanwhile_stays_so(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(_path: Path, _data: bytes) -> None:
        put(state, "schema.json", b'{"v": 99}')
        raise FileExistsError

    monkeypatch.setattr("proxy.state.schema.create_atomically", create)
    with pytest.raises(LaterVersion):
        mark_version(state.folder)
    assert state.schema.read_bytes() == b'{"v": 99}'


def test_an_owners_comments_may_stand_before_the_version(state: State) -> None:
    comments = b"\xef\xbb\xbf# mine\n\n  # v: 1\n" + b"# more\n" * 500
    put(state, "contacts.yaml", comments + b'v: "7"\npeers: []\n')
    with pytest.raises(LaterVersion, match="is of version 7, and this program knows 1"):
        refuse_later(state)


@pytest.mark.parametrize(
    "text",
    ["peers:\n- name: 'v: 9'\n", "# v: 9\npeers: []\n", "x:\n  v: 9\n", "v: 9x\n", "vv: 9\n"],
)
def test_what_only_looks_like_a_version_is_none(text: str, state: State) -> None:
    put(state, "contacts.yaml", text.encode())
    refuse_later(state)


def test_links_pipes_and_folders_in_the_place_of_a_file_say_nothing(
    state: State, tmp_path: Path
) -> None:
    (tmp_path / "later").write_bytes(b"v: 9\n")
    state.contacts.symlink_to(tmp_path / "later")
    os.mkfifo(state.terminals)
    state.pairing.mkdir()
    refuse_later(state)


def test_without_a_folder_nothing_is_later(tmp_path: Path) -> None:
    refuse_later(State(tmp_path / "nowhere"))
    assert list(version_problems(tmp_path / "nowhere")) == []


def test_where_a_database_is_in_use_it_isnt_opened(state: State, tmp_path: Path) -> None:
    put(state, "replay.sqlite3", database(tmp_path, REPLAY_VERSION + 1))
    refuse_later(state, replays=False)
    with pytest.raises(LaterVersion):
        refuse_later(state)


def test_a_database_says_its_version_where_the_file_format_has_it(tmp_path: Path) -> None:
    head = database(tmp_path, REPLAY_VERSION)[:100]
    assert int.from_bytes(head[68:72]) == APPLICATION_ID
    assert int.from_bytes(head[60:64]) == REPLAY_VERSION


def test_what_a_database_says_beyond_any_version_is_damage(state: State, tmp_path: Path) -> None:
    put(state, "replay.sqlite3", database(tmp_path, LAST_VERSION + 1))
    refuse_later(state)
    assert load_replays(state)


# A later program takes the folder over while this one runs


@pytest.fixture
def taken(state: State) -> State:
    """A folder that was in use, and is a later program's now."""
    put(state, "contacts.yaml", serialise_contacts(LIST))
    put(state, "terminals.yaml", serialise_terminals(BOTH))
    put(state, "pairing.yaml", serialise_pairing(PAIRING))
    put(state, "tokens/app", b"A" * 43)
    put(state, "schema.json", b'{"v": %d}' % (VERSION + 1))
    return state


def tree(state: State) -> dict[str, bytes]:
    """Return every file but locks, which are empty."""
    return {
        str(path.relative_to(state.folder)): path.read_bytes()
        for path in state.folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_nothing_is_written_any_more(taken: State, caplog: pytest.LogCaptureFixture) -> None:
    before = tree(taken)
    terminals = TerminalStore(taken.terminals)
    contacts = ContactStore(taken.contacts, "p.example.org")
    changes: list[Callable[[], object]] = [
        lambda: contacts.change(lambda _: ContactList()),
        lambda: contacts.change_text(lambda _: "peers: []\n"),
        contacts.create,
        lambda: terminals.change(lambda list_: type(list_)()),
        lambda: PairingStore(taken.pairing, terminals).new_code(NOW),
        lambda: TokenStore(taken.tokens).rotate("app"),
        lambda: TokenStore(taken.tokens).token("other"),
        lambda: SealingKeyStore(taken.sealing, 86_400).open(NOW),
        lambda: ReplayStore(taken.replays).open(NOW),
        lambda: mark_version(taken.folder),
    ]
    for change in changes:
        with pytest.raises(LaterVersion):
            change()
    SurplusResponses(taken.surplus_responses).note(["app"])
    assert f"knows {VERSION} at most" in caplog.text
    assert tree(taken) == before
    assert TokenStore(taken.tokens).token("app") == "A" * 43
    assert contacts.load() == LIST


def test_a_pairing_code_isnt_used_up(taken: State) -> None:
    store = PairingStore(taken.pairing, TerminalStore(taken.terminals))
    before = tree(taken)
    with pytest.raises(Refusal) as refused:
        store.redeem("0000-0000", "192.0.2.1", "Phone", NOW + 100)
    assert refused.value.code is Code.PAIRING_STORE_DOWN
    assert tree(taken) == before


def test_sealing_keys_are_left_to_the_later_program(state: State) -> None:
    store = SealingKeyStore(state.sealing, 86_400)
    store.open(NOW)
    assert len(store) == 1
    put(state, "schema.json", b'{"v": %d}' % (VERSION + 1))
    before = tree(state)
    store.follow(NOW + 100_000)  # the key is over, and another one is due
    assert tree(state) == before
    assert any(f"knows {VERSION} at most" in str(problem) for problem in store.problems)


def test_a_replay_store_that_a_later_program_made_is_left_alone_and_calls_are_refused(
    state: State, tmp_path: Path
) -> None:
    store = ReplayStore(state.replays)
    store.open(time.time())
    later = database(tmp_path, REPLAY_VERSION + 1)
    for beside in ("-wal", "-shm"):
        (state.folder / f"replay.sqlite3{beside}").unlink()
    put(state, "new", later).rename(state.replays)
    with pytest.raises(Refusal) as refused:
        store.claim(ADA, bytes(32), None, now=time.time())
    assert refused.value.code is Code.REPLAY_STORE_DOWN
    store.keep_alive(time.time())
    assert "knows 3 at most" in str(store.problems)
    assert state.replays.read_bytes() == later
    store.close()


def test_one_that_it_changes_in_place_is_told_too(state: State) -> None:
    store = ReplayStore(state.replays)
    store.open(time.time())
    with closing(sqlite3.connect(state.replays, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {REPLAY_VERSION + 1}")
        store.keep_alive(time.time())
        assert "knows 3 at most" in str(store.problems)
        assert db.execute("PRAGMA user_version").fetchone() == (REPLAY_VERSION + 1,)
    store.close()


def test_without_a_store_none_is_made_in_a_later_folder(taken: State) -> None:
    with pytest.raises(LaterVersion):
        ReplayStore(taken.replays).open(time.time())
    assert not taken.replays.exists()
