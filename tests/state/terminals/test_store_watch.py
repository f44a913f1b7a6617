"""A running proxy follows the list of terminals, keeps the last good one, notes who was seen."""

import logging
from pathlib import Path

import pytest

from proxy.core.terminals.terminals import TerminalList
from proxy.state.files import locked
from proxy.state.terminals import TerminalStore, TerminalWatch, renamed, without_terminal
from proxy.state.terminals.store import FLUSH
from tests.state.writing import writing_of
from tests.terminal_lists import BOTH, LAPTOP, NOW, PHONE


@pytest.fixture
def store(tmp_path: Path) -> TerminalStore:
    store = TerminalStore(tmp_path / "terminals.yaml")
    store.change(lambda _: BOTH)
    return store


@pytest.fixture
def watch(store: TerminalStore) -> TerminalWatch:
    return TerminalWatch(store)


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records if record.name == "proxy.terminals"]


def seen(store: TerminalStore) -> list[int]:
    return [each.seen for each in store.load().terminals]


def test_a_removal_is_followed_once(store: TerminalStore, watch: TerminalWatch) -> None:
    assert watch.current == BOTH
    store.change(lambda before: without_terminal(before, PHONE.id))
    assert watch.refresh()
    assert watch.current.terminals == (LAPTOP,)
    assert watch.current.by_token(b"phone") is None
    assert not watch.refresh()


def test_a_new_name_is_followed(store: TerminalStore, watch: TerminalWatch) -> None:
    store.change(lambda before: renamed(before, PHONE.id, "Telefon"))
    assert watch.refresh()
    assert [each.name for each in watch.current.terminals] == ["Telefon", LAPTOP.name]


def test_an_unchanged_file_is_not_read_again(
    watch: TerminalWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TerminalStore, "load", None)
    assert not watch.refresh()


@pytest.mark.parametrize("text", ["", "v: 1\n", "v: 3\nterminals: []\n", "{"])
def test_a_broken_file_keeps_the_last_good_list_and_is_told_once(
    store: TerminalStore, watch: TerminalWatch, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    caplog.set_level(logging.INFO, "proxy.terminals")
    good = store.path.read_bytes()
    store.path.write_text(text)
    assert watch.refresh()
    assert {problem.file for problem in watch.problems} == {str(store.path)}
    for _ in range(3):
        assert not watch.refresh()
    assert watch.current == BOTH
    assert levels(caplog) == [logging.ERROR]
    store.path.write_bytes(good)
    assert watch.refresh()
    assert (watch.problems, watch.current) == ((), BOTH)
    assert levels(caplog) == [logging.ERROR, logging.INFO]


def test_a_file_that_others_may_read_is_a_problem_at_once(
    store: TerminalStore, watch: TerminalWatch
) -> None:
    store.path.chmod(0o644)
    assert watch.refresh()
    assert "chmod 0600" in str(watch.problems[0])
    assert watch.current == BOTH


def test_who_deletes_the_file_removes_every_terminal(
    store: TerminalStore, watch: TerminalWatch
) -> None:
    store.path.unlink()
    assert watch.refresh()
    assert (watch.current, watch.problems) == (TerminalList(), ())


def test_a_list_that_was_never_good_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "terminals.yaml"
    path.write_text("v: 3\n")
    watch = TerminalWatch(TerminalStore(path))
    assert watch.current == TerminalList()
    assert watch.problems


def test_who_was_seen_is_written_at_most_each_minute(
    store: TerminalStore, watch: TerminalWatch
) -> None:
    watch.saw(PHONE.id, NOW + 1.5)
    watch.flush(NOW + 2)
    assert seen(store) == [NOW + 1, NOW]
    watch.saw(PHONE.id, NOW + 3)
    watch.saw(LAPTOP.id, NOW + 4)
    watch.flush(NOW + FLUSH)
    assert seen(store) == [NOW + 1, NOW]
    watch.flush(NOW + 2 + FLUSH)
    assert seen(store) == [NOW + 3, NOW + 4]
    assert not watch.refresh()
    assert [each.seen for each in watch.current.terminals] == [NOW + 3, NOW + 4]


def test_nothing_is_written_where_nobody_was_seen(
    store: TerminalStore, watch: TerminalWatch
) -> None:
    before = writing_of(store.path)
    watch.saw("zzzzzz", NOW)
    watch.flush(NOW)
    watch.close()
    assert writing_of(store.path) == before


def test_the_end_writes_what_is_left(store: TerminalStore, watch: TerminalWatch) -> None:
    watch.saw(PHONE.id, NOW + 1)
    watch.flush(NOW + 1)
    watch.saw(PHONE.id, NOW + 5)
    watch.close()
    assert seen(store) == [NOW + 5, NOW]


def test_who_was_removed_meanwhile_stays_removed(
    store: TerminalStore, watch: TerminalWatch
) -> None:
    watch.saw(PHONE.id, NOW + 1)
    store.change(lambda before: without_terminal(before, PHONE.id))
    watch.flush(NOW + 1)
    assert store.load().terminals == (LAPTOP,)


def test_what_two_processes_saw_is_all_kept(store: TerminalStore, watch: TerminalWatch) -> None:
    other = TerminalWatch(store)
    watch.saw(PHONE.id, NOW + 30)
    other.saw(PHONE.id, NOW + 20)
    other.saw(LAPTOP.id, NOW + 25)
    watch.flush(NOW + 31)
    other.flush(NOW + 31)
    assert seen(store) == [NOW + 30, NOW + 25]


def test_what_cant_be_written_now_is_written_later(
    store: TerminalStore, watch: TerminalWatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch.saw(PHONE.id, NOW + 1)
    with locked(store.path):
        watch.flush(NOW + 1)
        watch.flush(NOW + 1 + FLUSH)
    assert levels(caplog) == [logging.WARNING]
    watch.flush(NOW + 1 + 2 * FLUSH)
    assert seen(store) == [NOW + 1, NOW]


def test_a_broken_file_is_left_alone_by_who_was_seen(
    store: TerminalStore, watch: TerminalWatch
) -> None:
    store.path.write_bytes(b"v: 3\n")
    watch.saw(PHONE.id, NOW + 1)
    watch.flush(NOW + 1)
    watch.close()
    assert store.path.read_bytes() == b"v: 3\n"


def test_a_clock_that_is_set_back_stops_no_writing(
    store: TerminalStore, watch: TerminalWatch
) -> None:
    watch.saw(PHONE.id, NOW + 10**8)
    watch.flush(NOW + 10**8)
    watch.saw(PHONE.id, NOW + 5)
    watch.flush(NOW + 5)
    assert seen(store) == [NOW + 5, NOW]


def test_the_owner_is_told_once_of_each_token_that_others_can_have_read(
    watch: TerminalWatch, caplog: pytest.LogCaptureFixture
) -> None:
    for terminal_id in (PHONE.id, PHONE.id, "", "zzzzzz", LAPTOP.id, PHONE.id):
        watch.exposed(terminal_id)
    assert levels(caplog) == [logging.WARNING] * 2
    assert f"portal-proxy terminals remove {PHONE.id}" in caplog.text
    assert f"portal-proxy terminals remove {LAPTOP.id}" in caplog.text
