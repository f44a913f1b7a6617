"""terminals.yaml shared by processes: no change lost, nothing broken overwritten."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from proxy.core.errors import Invalid
from proxy.core.terminals.terminals import Terminal, TerminalList, token_digest
from proxy.state.files import Busy, locked
from proxy.state.schema import VERSION, check_version
from proxy.state.terminals import TerminalStore, renamed, without_terminal
from proxy.state.terminals import store as module
from proxy.state.terminals.edits import with_seen, with_terminal
from tests.state.writing import writing_of
from tests.terminal_lists import BOTH, LAPTOP, NOW, PHONE

SPAWN = multiprocessing.get_context("spawn")
EACH = 15


@pytest.fixture
def store(tmp_path: Path) -> TerminalStore:
    store = TerminalStore(tmp_path / "terminals.yaml")
    store.change(lambda _: BOTH)
    return store


def test_without_a_file_there_are_no_terminals_and_none_is_made(tmp_path: Path) -> None:
    store = TerminalStore(tmp_path / "terminals.yaml")
    assert store.load() == TerminalList()
    assert list(tmp_path.iterdir()) == []


def test_a_change_is_kept_and_private(store: TerminalStore) -> None:
    assert store.change(lambda before: without_terminal(before, PHONE.id)).terminals == (LAPTOP,)
    assert store.load().terminals == (LAPTOP,)
    assert {file.name for file in store.path.parent.iterdir()} == {
        "terminals.yaml",
        "terminals.yaml.lock",
    }
    assert {file.stat().st_mode & 0o7777 for file in store.path.parent.iterdir()} == {0o600}


def test_a_terminal_is_added_with_an_id_that_is_free(
    store: TerminalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    chances = iter([PHONE.id, LAPTOP.id, "999999"])
    monkeypatch.setattr(module, "terminal_id", lambda _: next(chances))
    added = store.add("Calendar", token_digest(b"c"), NOW + 0.5, app="calendar")
    assert added == Terminal("999999", "Calendar", token_digest(b"c"), NOW, NOW, "calendar")
    assert store.load().terminals == (PHONE, LAPTOP, added)


def test_before_a_list_is_of_the_second_version_the_folder_says_that_it_is_later(
    store: TerminalStore,
) -> None:
    """An earlier program that runs would take the list for a broken one."""
    store.add("Tablet", token_digest(b"t"), NOW)
    assert check_version(store.path.parent) == 1
    added = store.add("Calendar", token_digest(b"c"), NOW, app="calendar")
    assert check_version(store.path.parent) == VERSION
    assert b"\nv: 2\n" in store.path.read_bytes()
    store.change(lambda before: without_terminal(before, added.id))
    assert b"\nv: 1\n" in store.path.read_bytes()


def test_a_change_of_nothing_writes_nothing(store: TerminalStore) -> None:
    before = writing_of(store.path)
    store.change(lambda terminals: terminals)
    assert writing_of(store.path) == before


def test_a_refused_change_writes_nothing_and_frees_the_lock(store: TerminalStore) -> None:
    before = store.path.read_bytes()
    with pytest.raises(ValueError, match="isn't the ID of a terminal"):
        store.change(lambda terminals: without_terminal(terminals, "zzzzzz"))
    assert store.path.read_bytes() == before
    with locked(store.path, wait=0):
        pass


def test_a_list_that_could_not_be_read_back_is_not_written(store: TerminalStore) -> None:
    with pytest.raises(Invalid):
        store.change(lambda before: TerminalList((*before.terminals, PHONE)))
    assert store.load() == BOTH


@pytest.mark.parametrize("broken", [b"", b"v: 1\n", b"v: 3\nterminals: []\n", b"\xff", b"{"])
def test_a_broken_file_is_never_overwritten(store: TerminalStore, broken: bytes) -> None:
    store.path.write_bytes(broken)
    with pytest.raises(Invalid):
        store.load()
    with pytest.raises(Invalid):
        store.change(lambda _: BOTH)
    assert store.path.read_bytes() == broken


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_list_that_others_can_read_or_change_is_refused(store: TerminalStore, mode: int) -> None:
    store.path.chmod(mode)
    with pytest.raises(Invalid, match="chmod 0600"):
        store.load()


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_is_a_problem_and_stays(store: TerminalStore, kind: str) -> None:
    aside = store.path.with_name("aside")
    store.path.rename(aside)
    if kind == "folder":
        store.path.mkdir()
    elif kind == "pipe":
        os.mkfifo(store.path)
    else:
        store.path.symlink_to(aside)
    with pytest.raises(Invalid):
        store.change(lambda _: TerminalList())
    assert not store.path.is_file() or store.path.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(store: TerminalStore) -> None:
    os.chown(store.path, 12345, -1)
    with pytest.raises(Invalid, match="belongs to user 12345"):
        store.load()


def test_who_has_no_time_to_wait_is_told(store: TerminalStore) -> None:
    with locked(store.path), pytest.raises(Busy):
        store.change(lambda _: TerminalList(), wait=0)
    assert store.load() == BOTH


def _add(path: Path, letter: str, barrier: Barrier) -> None:
    store = TerminalStore(path)
    barrier.wait()
    for number in range(EACH):
        name = f"{letter}000{number:02d}"
        new = Terminal(name, name, token_digest(name.encode()), NOW, NOW)
        store.change(lambda before, new=new: with_terminal(before, new))  # type: ignore[misc]


def test_changes_of_many_processes_are_all_kept(store: TerminalStore) -> None:
    barrier = SPAWN.Barrier(3)
    adders = [SPAWN.Process(target=_add, args=(store.path, x, barrier)) for x in "xyz"]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join(60)
        assert adder.exitcode == 0
    assert len(store.load().terminals) == 2 + 3 * EACH


# Edits


def test_an_id_or_a_token_is_one_terminals() -> None:
    twin = Terminal(PHONE.id, "Twin", token_digest(b"twin"), NOW, NOW)
    thief = Terminal("xxxxxx", "Thief", PHONE.token_sha256, NOW, NOW)
    for other in (twin, thief):
        with pytest.raises(ValueError, match=f"that of {PHONE.id}"):
            with_terminal(BOTH, other)


def test_a_new_name_changes_nothing_else() -> None:
    changed = renamed(BOTH, PHONE.id, "Telefon")
    assert [each.name for each in changed.terminals] == ["Telefon", LAPTOP.name]
    assert changed.by_token(b"phone") == changed.find(PHONE.id)


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "a\u202eb", "\u200b", " a"])
def test_a_name_that_could_deceive_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't be used"):
        renamed(BOTH, PHONE.id, name)


def test_the_later_time_counts_and_a_removed_terminal_stays_removed() -> None:
    seen = {PHONE.id: NOW + 5.7, LAPTOP.id: NOW - 50.0, "zzzzzz": NOW + 5.0}
    changed = with_seen(BOTH, seen, NOW + 6)
    assert [(each.id, each.seen) for each in changed.terminals] == [
        (PHONE.id, NOW + 5),
        (LAPTOP.id, NOW),
    ]


def test_a_time_from_a_clock_that_was_ahead_is_corrected() -> None:
    ahead = with_seen(BOTH, {PHONE.id: NOW + 10**8}, NOW + 10**8)
    back = with_seen(ahead, {PHONE.id: NOW + 1.0}, NOW + 1)
    assert [each.seen for each in back.terminals] == [NOW + 1, NOW]
