"""Tokens: the same each time, replaced within a refresh, private, and told apart without a leak."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Invalid
from proxy.state.file_watch import STALE_AFTER
from proxy.state.tokens import TokenStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def test_a_token_is_the_same_each_time_and_after_a_restart(folder: Path) -> None:
    store = TokenStore(folder)
    token = store.token("guestbook")
    assert len(token) == 43
    assert store.token("guestbook") == token
    assert TokenStore(folder).token("guestbook") == token


def test_a_token_names_its_app_and_no_other(folder: Path) -> None:
    store = TokenStore(folder)
    guestbook, notes = store.token("guestbook"), store.token("notes")
    assert guestbook != notes
    assert store.app_of(guestbook) == "guestbook"
    assert store.app_of(notes) == "notes"
    assert store.matches("notes", notes)
    assert not store.matches("notes", guestbook)
    assert not store.matches("unknown", guestbook)


@given(st.text())
def test_what_is_not_a_token_names_nobody(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    store = TokenStore(tmp_path_factory.getbasetemp() / "tokens")
    store.token("guestbook")
    assert store.app_of(text) is None
    assert not store.matches("guestbook", text)


@pytest.mark.parametrize("text", ["", "\ud800", "é" * 43, "a" * 10_000_000])
def test_odd_text_is_no_token_and_no_error(folder: Path, text: str) -> None:
    store = TokenStore(folder)
    store.token("guestbook")
    assert store.app_of(text) is None


def test_almost_a_token_is_none(folder: Path) -> None:
    store = TokenStore(folder)
    token = store.token("guestbook")
    for near in (token[:-1], token + "\n", token + "A", token.swapcase(), " " + token):
        assert store.app_of(near) is None


def test_files_are_private_and_named_after_the_app(folder: Path) -> None:
    TokenStore(folder).token("guestbook")
    assert folder.stat().st_mode & 0o7777 == 0o700
    names = {file.name: file.stat().st_mode & 0o7777 for file in folder.iterdir()}
    assert names == {"guestbook": 0o600, "guestbook.lock": 0o600}


@pytest.mark.parametrize("app", ["", "..", "../identity", "a/b", "A", "a.lock", "-a", "a\0", "é"])
def test_a_name_that_is_no_apps_never_becomes_a_path(folder: Path, app: str) -> None:
    store = TokenStore(folder)
    for use in (store.token, store.rotate, lambda name: store.deliver(name, folder / "out")):
        with pytest.raises(ValueError, match="DNS label"):
            use(app)
    assert list(folder.iterdir()) == []


def test_a_rotated_token_ends_the_old_one_everywhere(folder: Path) -> None:
    command, running = TokenStore(folder), TokenStore(folder)
    old = command.token("guestbook")
    assert running.refresh()
    assert running.app_of(old) == "guestbook"
    new = command.rotate("guestbook")
    assert command.app_of(old) is None
    assert command.app_of(new) == "guestbook"
    assert running.refresh()
    assert running.app_of(old) is None
    assert running.app_of(new) == "guestbook"
    assert not running.refresh()


def test_a_removed_token_ends(folder: Path) -> None:
    store = TokenStore(folder)
    token = store.token("guestbook")
    store.refresh()
    (folder / "guestbook").unlink()
    assert store.refresh()
    assert store.app_of(token) is None


@pytest.mark.parametrize("damage", ["empty", "text", "readable", "link", "folder"])
def test_a_broken_token_refuses_its_app_alone(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    command, running = TokenStore(folder), TokenStore(folder)
    token, other = command.token("guestbook"), command.token("notes")
    running.refresh()
    path = folder / "guestbook"
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_bytes(b"a token of more than the 43 characters that it has")
        case "readable":
            path.chmod(0o644)
        case "link":
            path.rename(folder / "aside.old")
            path.symlink_to("aside.old")
        case _:
            path.unlink()
            path.mkdir()
    running.refresh()
    running.refresh()
    assert running.app_of(token) is None
    assert running.app_of(other) == "notes"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert token not in caplog.text
    with pytest.raises(Invalid) as caught:
        TokenStore(folder).token("guestbook")
    assert token not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"broken"])
def test_a_broken_token_is_mended_by_rotating(folder: Path, data: bytes) -> None:
    store = TokenStore(folder)
    store.token("guestbook")
    (folder / "guestbook").write_bytes(data)
    token = store.rotate("guestbook")
    assert TokenStore(folder).app_of(token) == "guestbook"


def _tell_token(folder: Path, barrier: Barrier, results: multiprocessing.Queue[str]) -> None:
    barrier.wait()
    results.put(TokenStore(folder).token("guestbook"))


def test_processes_that_make_a_token_at_once_agree(folder: Path) -> None:
    barrier, results = SPAWN.Barrier(4), SPAWN.Queue()
    makers = [SPAWN.Process(target=_tell_token, args=(folder, barrier, results)) for _ in range(4)]
    for maker in makers:
        maker.start()
    tokens = {results.get(timeout=60) for _ in makers}
    for maker in makers:
        maker.join(60)
    assert tokens == {TokenStore(folder).token("guestbook")}


def test_delivery_writes_the_token_once(folder: Path, tmp_path: Path) -> None:
    store, shared = TokenStore(folder), tmp_path / "shared" / "token"
    shared.parent.mkdir()
    assert store.deliver("guestbook", shared)
    assert shared.read_text() == store.token("guestbook")
    assert shared.stat().st_mode & 0o7777 == 0o600
    assert not store.deliver("guestbook", shared)
    token = store.rotate("guestbook")
    assert store.deliver("guestbook", shared)
    assert shared.read_text() == token


@pytest.mark.parametrize("planted", ["link", "pipe", "readable", "other text"])
def test_delivery_replaces_what_an_app_planted_and_never_follows_it(
    folder: Path, tmp_path: Path, planted: str
) -> None:
    store, shared, victim = TokenStore(folder), tmp_path / "token", tmp_path / "victim"
    victim.write_text("untouched")
    match planted:
        case "link":
            shared.symlink_to(victim)
        case "pipe":
            os.mkfifo(shared)
        case "readable":
            shared.write_text(store.token("guestbook"))
            shared.chmod(0o644)
        case _:
            shared.write_text("x" * 100)
    assert store.deliver("guestbook", shared)
    assert not shared.is_symlink()
    assert shared.read_text() == store.token("guestbook")
    assert shared.stat().st_mode & 0o7777 == 0o600
    assert victim.read_text() == "untouched"


def test_delivery_to_a_missing_folder_fails_aloud(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TokenStore(folder).deliver("guestbook", tmp_path / "nowhere" / "token")


PASSING = [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.EACCES]


def failing_at(path: Path, number: int, call: Callable[..., object]) -> Callable[..., object]:
    """Return ``call``, but for this path: there it fails."""

    def wrapped(first: object, *others: object, **named: object) -> object:
        if str(first) == str(path):
            raise OSError(number, os.strerror(number))
        return call(first, *others, **named)

    return wrapped


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
def test_a_token_that_cannot_be_read_is_none_until_it_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    command, running = TokenStore(folder), TokenStore(folder)
    old, other = command.token("guestbook"), command.token("notes")
    running.refresh()
    new = command.rotate("guestbook")
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", failing_at(folder / "guestbook", number, os.open))
        for _ in range(3):
            running.refresh()
            assert running.app_of(old) is running.app_of(new) is None
            assert running.app_of(other) == "notes"
        (problem,) = running.current.problems
        assert problem.what.startswith(f"can't be read: {os.strerror(number)}")
    assert running.refresh()
    assert running.app_of(new) == "guestbook"
    assert running.app_of(old) is None
    assert not running.current.problems
    assert len(caplog.records) == 1


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
def test_where_the_folder_cannot_be_listed_for_long_there_is_no_token(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    clock = [100.0]
    command, running = TokenStore(folder), TokenStore(folder, steady=lambda: clock[0])
    token = command.token("guestbook")
    running.refresh()
    found = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", failing_at(folder, number, os.listdir))
        for _ in range(2):
            running.refresh()
            assert running.app_of(token) == "guestbook"  # nothing in it was added or removed
            clock[0] += STALE_AFTER
        (folder / "changed").mkdir()
        for seconds in (0, STALE_AFTER - 0.1, 0.1):
            clock[0] += seconds
            running.refresh()
            found.append((running.app_of(token), running.matches("guestbook", token)))
    assert found == [("guestbook", True), ("guestbook", True), (None, False)]
    running.refresh()
    assert running.app_of(token) == "guestbook"
    assert not running.problems
