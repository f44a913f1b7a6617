"""contacts.yaml shared by processes: no change lost, none half seen, nothing broken overwritten."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import pytest

from proxy.core.access.policy import Contact, ContactList
from proxy.core.errors import Invalid
from proxy.state.contacts import ContactStore, ContactWatch, changed, with_contact, without_contact
from proxy.state.files import write_atomically
from tests.contact_lists import BOB, DOMAIN, EVE, adding, names_in
from tests.state.writing import writing_of

SPAWN = multiprocessing.get_context("spawn")
EACH = 15


@pytest.fixture
def store(tmp_path: Path) -> ContactStore:
    store = ContactStore(tmp_path / "contacts.yaml", DOMAIN)
    assert store.create()
    return store


def test_a_new_list_is_empty_and_private(store: ContactStore) -> None:
    assert store.load() == ContactList()
    assert store.path.stat().st_mode & 0o7777 == 0o600


def test_making_it_again_changes_nothing(store: ContactStore) -> None:
    store.change(adding(BOB))
    assert not store.create()
    assert store.load().peers == (BOB,)


def test_a_change_is_kept_with_the_version_before_beside_it(store: ContactStore) -> None:
    store.change(adding(BOB))
    first = store.path.read_bytes()
    assert store.change(adding(EVE)).peers == (BOB, EVE)
    assert store.load().peers == (BOB, EVE)
    assert store.path.with_name("contacts.yaml.before").read_bytes() == first
    assert names_in(store.path.parent) == {
        "contacts.yaml",
        "contacts.yaml.before",
        "contacts.yaml.lock",
    }
    assert {file.stat().st_mode & 0o7777 for file in store.path.parent.iterdir()} == {0o600}


def test_a_change_of_nothing_writes_nothing(store: ContactStore) -> None:
    before = writing_of(store.path)
    store.change(lambda contacts: contacts)
    assert writing_of(store.path) == before
    assert "contacts.yaml.before" not in names_in(store.path.parent)


def test_a_refused_change_writes_nothing_and_frees_the_lock(store: ContactStore) -> None:
    with pytest.raises(ValueError, match="isn't the full ID"):
        store.change(lambda contacts: without_contact(contacts, BOB.id))
    assert store.change(adding(BOB)).peers == (BOB,)


def test_a_list_that_could_not_be_read_back_is_not_written(store: ContactStore) -> None:
    bad = Contact(BOB.id, "Bob", "not an address")
    with pytest.raises(Invalid):
        store.change(lambda contacts: with_contact(contacts, bad))
    assert store.load() == ContactList()


@pytest.mark.parametrize("broken", [b"", b"peers: [", b"peers: bob", b"\xff", b"peers: []\nx: y"])
def test_a_broken_file_is_never_overwritten_by_a_command(
    store: ContactStore, broken: bytes
) -> None:
    store.path.write_bytes(broken)
    with pytest.raises(Invalid):
        store.change(adding(BOB))
    with pytest.raises(Invalid):
        store.load()
    assert not store.create()
    assert store.path.read_bytes() == broken


def test_a_link_is_refused_and_its_target_left_alone(store: ContactStore, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.yaml"
    store.path.rename(target)
    store.path.symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(Invalid, match="symbolic link"):
        store.change(adding(BOB))
    assert store.path.is_symlink()
    assert target.read_bytes() == before


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_list_that_others_can_write_is_refused(store: ContactStore, mode: int) -> None:
    store.path.chmod(mode)
    with pytest.raises(Invalid, match="others can change it"):
        store.load()


def test_a_list_that_others_can_read_is_taken(store: ContactStore) -> None:
    store.path.chmod(0o644)
    assert store.load() == ContactList()


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_a_problem(store: ContactStore, kind: str) -> None:
    store.path.unlink()
    if kind == "folder":
        store.path.mkdir()
    elif kind == "pipe":
        os.mkfifo(store.path)
    with pytest.raises(Invalid):
        store.load()


# Many at once


def _add_peers(path: Path, letter: str, barrier: Barrier) -> None:
    store = ContactStore(path, DOMAIN)
    barrier.wait()
    for number in range(EACH):
        portal_id = f"{letter}{number:02d}".ljust(103, "z")
        store.change(adding(Contact(portal_id, f"{letter}{number}", "https://x.example")))


def _watch(path: Path, barrier: Barrier, end: Event, results: "multiprocessing.Queue[str]") -> None:
    """Tell anything that a watcher should never see: a broken file, or a list that shrinks."""
    watch = ContactWatch(ContactStore(path, DOMAIN))
    barrier.wait()
    size = 0
    while not end.is_set():
        watch.refresh()
        if watch.problems or len(watch.current.peers) < size:
            results.put(f"after {size} peers: {len(watch.current.peers)}, {watch.problems}")
            return
        size = len(watch.current.peers)
    watch.refresh()
    results.put(f"saw {len(watch.current.peers)}")


def test_changes_of_many_processes_are_all_kept_and_never_half_seen(store: ContactStore) -> None:
    barrier, end, results = SPAWN.Barrier(4), SPAWN.Event(), SPAWN.Queue()
    watcher = SPAWN.Process(target=_watch, args=(store.path, barrier, end, results))
    adders = [
        SPAWN.Process(target=_add_peers, args=(store.path, letter, barrier)) for letter in "abc"
    ]
    for process in (watcher, *adders):
        process.start()
    for process in adders:
        process.join(60)
    end.set()
    assert results.get(timeout=60) == f"saw {3 * EACH}"
    watcher.join(60)
    assert [process.exitcode for process in adders] == [0, 0, 0]
    assert len(store.load().peers) == 3 * EACH


def test_changes_of_many_threads_are_all_kept(store: ContactStore) -> None:
    barrier = threading.Barrier(4)

    def add(letter: str) -> None:
        barrier.wait()
        store.change(adding(Contact(letter * 103, letter, "https://x.example")))

    threads = [threading.Thread(target=add, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(store.load().peers) == 4


_CHANGE_FOR_EVER = f"""
import itertools, pathlib, sys
from proxy.state.contacts import ContactStore, changed
store = ContactStore(pathlib.Path(sys.argv[1]), {DOMAIN!r})
for number in itertools.count():
    store.change(lambda contacts: changed(contacts, {BOB.id!r}, name=str(number)))
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", range(0, 40, 5))
def test_a_killed_change_leaves_the_old_list_or_the_new_and_no_lock(
    store: ContactStore, after: int
) -> None:
    store.change(adding(BOB))
    command = [sys.executable, "-c", _CHANGE_FOR_EVER, str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        done = [int(process.stdout.readline()) for _ in range(after + 1)]
        process.send_signal(signal.SIGKILL)
        done += [int(line) for line in process.stdout if line.endswith("\n")]
    name = store.load().peers[0].name
    assert int(name) in {done[-1], done[-1] + 1}
    assert store.change(lambda contacts: changed(contacts, BOB.id, name="after")).peers


def test_a_change_that_finds_the_disk_full_leaves_the_old_list(
    store: ContactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.path.read_bytes()

    def fail(_new: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space"):
            store.change(adding(BOB))
    assert store.path.read_bytes() == before
    assert not [name for name in names_in(store.path.parent) if name.endswith(".new")]
    store.change(adding(BOB))


def test_the_lock_file_stays(store: ContactStore) -> None:
    lock = store.path.with_name("contacts.yaml.lock")
    inode = lock.stat().st_ino
    store.change(adding(BOB))
    store.change_text(lambda old: old)
    assert lock.stat().st_ino == inode


def test_a_written_file_replaces_a_link_and_leaves_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, b"new", mode=0o640)
    assert (target.read_text(), link.read_text()) == ("old", "new")
    assert link.lstat().st_mode & 0o7777 == 0o640
