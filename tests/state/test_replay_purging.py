"""The replay store forgets old claims, and refuses by age what it forgot."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.core.errors import Code
from proxy.state.replay import KEPT, ReplayStore
from tests.claims import NOW, alive, opened, response, rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplayStore]:
    with closing(opened(tmp_path / "replay.db")) as store:
        yield store


def test_a_claim_is_kept_its_time_and_then_refused_by_the_floor(store: ReplayStore) -> None:
    assert response(store) is None
    alive(store, NOW, NOW + KEPT)
    assert response(store, now=NOW + KEPT) is Code.REPLAYED
    assert rows(store) == 1
    store.keep_alive(NOW + KEPT + 1)
    assert rows(store) == 0
    assert response(store, now=NOW + KEPT + 1) is Code.OUT_OF_TIME
    assert response(store, created=NOW + 1, now=NOW + KEPT + 1) is None


def test_a_claim_signed_ahead_is_no_more_forgotten_than_others(store: ReplayStore) -> None:
    assert response(store, created=NOW + 60) is None
    alive(store, NOW, NOW + KEPT + 1)
    assert rows(store) == 0
    assert response(store, created=NOW + 60, now=NOW + KEPT + 1) is Code.OUT_OF_TIME


def test_purging_a_later_claim_never_lowers_the_floor(store: ReplayStore) -> None:
    assert response(store, nonce=b"ahead", created=NOW + 60) is None
    alive(store, NOW, NOW + 1)
    assert response(store, nonce=b"later", created=NOW, now=NOW + 1) is None
    alive(store, NOW + 1, NOW + KEPT + 2)
    assert rows(store) == 0
    late = NOW + KEPT + 2
    assert response(store, nonce=b"ahead", created=NOW + 60, now=late) is Code.OUT_OF_TIME


def test_a_clock_set_back_brings_nothing_purged_back_to_life(store: ReplayStore) -> None:
    assert response(store) is None
    alive(store, NOW, NOW + KEPT + 1)
    assert rows(store) == 0
    store.keep_alive(NOW)
    assert response(store) is Code.OUT_OF_TIME


def test_a_clock_set_back_says_what_to_do(
    store: ReplayStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.keep_alive(NOW + 1000)
    for _ in range(3):
        store.keep_alive(NOW)
    assert response(store, created=NOW + 998) is Code.OUT_OF_TIME
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "remove the file" in caplog.text


def test_many_old_rows_go_a_batch_at_a_time_and_none_is_reborn(
    store: ReplayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "proxy.state.replay._OLDEST", "FROM claim WHERE claimed < ? ORDER BY claimed LIMIT 2"
    )
    for number in range(5):
        assert response(store, nonce=bytes([number])) is None
    alive(store, NOW, NOW + KEPT)
    late = NOW + KEPT + 1
    for left in (3, 1, 0):
        store.keep_alive(late)
        assert rows(store) == left
    responses = [response(store, nonce=bytes([number]), now=late) for number in range(5)]
    assert responses == [Code.OUT_OF_TIME] * 5
