"""The replay store's file: private, never replaced silently, and nothing passes where it fails."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.core.errors import Code, Invalid
from proxy.state.replay import ReplayStore
from tests.claims import NOW, opened, response


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@pytest.fixture
def store(path: Path) -> Iterator[ReplayStore]:
    with closing(opened(path)) as store:
        yield store


# A store that fails


def _delete(_store: ReplayStore, path: Path) -> None:
    path.unlink()


def _replace(_store: ReplayStore, path: Path) -> None:
    new = path.with_name("new.db")
    opened(new).close()
    new.replace(path)


def _fill_the_disk(store: ReplayStore, _path: Path) -> None:
    assert store._db is not None
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1000):
        if response(store, nonce=number.to_bytes(1000, "big")) is not None:
            return


def _forbid_writing(store: ReplayStore, _path: Path) -> None:
    assert store._db is not None
    store._db.execute("PRAGMA query_only = ON")


def _drop_the_table(store: ReplayStore, _path: Path) -> None:
    assert store._db is not None
    store._db.execute("DROP TABLE claim")


def _close(store: ReplayStore, _path: Path) -> None:
    store.close()


@pytest.mark.parametrize(
    "fault", [_delete, _replace, _fill_the_disk, _forbid_writing, _drop_the_table, _close]
)
def test_a_store_that_fails_lets_nothing_through(
    store: ReplayStore, path: Path, fault: Callable[[ReplayStore, Path], None]
) -> None:
    assert response(store) is None
    fault(store, path)
    assert response(store, nonce=b"\xff" * 1000) is Code.REPLAY_STORE_DOWN


def test_a_store_that_is_locked_too_long_lets_nothing_through_and_recovers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.state.replay._LOCK_WAIT", 0.02)
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert response(store) is Code.REPLAY_STORE_DOWN
    other.execute("ROLLBACK")
    other.close()
    assert response(store) is None
    store.close()


def test_a_number_that_no_database_holds_is_out_of_time(store: ReplayStore) -> None:
    assert response(store, created=2**63) is Code.OUT_OF_TIME
    assert response(store, created=-(2**70)) is Code.OUT_OF_TIME


def test_going_down_and_coming_back_is_said_once_each(
    store: ReplayStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    for _ in range(3):
        store.keep_alive(NOW)
    aside.rename(path)
    for _ in range(3):
        store.keep_alive(NOW)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


# The file


def test_the_files_are_private(store: ReplayStore, path: Path) -> None:
    assert response(store) is None
    modes = {file.name: file.stat().st_mode & 0o7777 for file in path.parent.iterdir()}
    assert modes.keys() >= {"replay.db", "replay.db-wal", "replay.db-shm"}
    assert set(modes.values()) == {0o600}


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def _another_database(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE claim (a)")
    db.close()


def _damaged_pages(path: Path) -> None:
    store = opened(path)
    for number in range(500):
        assert response(store, nonce=number.to_bytes(32, "big")) is None
    store.close()
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = bytes([0xA5]) * 4096
    path.write_bytes(data)


def _cut_short(path: Path) -> None:
    _damaged_pages(path)
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])


@pytest.mark.parametrize("damage", [_garbage, _another_database, _damaged_pages, _cut_short])
def test_a_damaged_store_is_refused_and_not_replaced(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(Invalid, match="remove the file"):
        opened(path, NOW + 1)
    assert path.read_bytes() == before


def test_a_store_that_others_can_reach_is_refused(path: Path) -> None:
    opened(path).close()
    path.chmod(0o644)
    with pytest.raises(Invalid, match="chmod 0600"):
        opened(path)


def test_a_link_to_a_store_is_refused(path: Path) -> None:
    opened(path.with_name("real.db")).close()
    path.symlink_to("real.db")
    with pytest.raises(Invalid, match="regular file"):
        opened(path)


def test_a_store_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        opened(tmp_path / "nowhere" / "replay.db")


def test_a_removed_store_starts_anew_and_refuses_what_was_before(path: Path) -> None:
    first = opened(path)
    assert response(first) is None
    first.close()
    path.unlink()
    second = opened(path, NOW + 2)
    assert response(second, now=NOW + 2) is Code.OUT_OF_TIME
    second.close()
