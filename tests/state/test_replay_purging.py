"""The replay store forgets old claims, by the clock that nobody sets."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.core.errors import Code
from proxy.core.signature.request import LIFETIME, SKEW
from proxy.state.replay_file import KEPT, SILENCE
from tests.claims import Process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    with closing(Process(tmp_path / "replay.db")) as process:
        yield process


def test_a_claim_is_kept_its_time(process: Process) -> None:
    assert process.claim() is None
    process.live(KEPT)
    assert process.claim() is Code.REPLAYED
    assert process.rows() == 1
    process.live(KEPT)
    assert process.rows() == 0


def test_a_claim_is_kept_longer_than_any_signature_is_good() -> None:
    """Signed ``SKEW`` ahead, and good until ``SKEW`` after it expired; clocks trimmed both ways."""
    assert KEPT > SKEW + LIFETIME + SKEW + 2 * SILENCE


@pytest.mark.parametrize("by", [31_536_000, -31_536_000])
def test_a_clock_that_is_set_makes_none_go_earlier_or_stay_longer(
    process: Process, by: float
) -> None:
    assert process.claim() is None
    process.machine.set_clock(by)
    process.live(KEPT)
    assert process.claim() is Code.REPLAYED
    process.machine.set_clock(-by)
    process.live(KEPT)
    assert process.rows() == 0


def test_many_old_claims_go_a_batch_at_a_time(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.state.replay._MOST_PURGES", 1)
    for number in range(1200):
        assert process.claim(number.to_bytes(32, "big")) is None
    until_they_go = 2 * KEPT - int(process.machine.seconds) % KEPT
    process.live(until_they_go - 1)
    assert process.rows() == 1200
    for left in (700, 200, 0, 0):
        process.live(1)
        assert process.rows() == left


def test_the_log_of_the_database_doesnt_grow_for_ever(process: Process) -> None:
    log = process.path.with_name(process.path.name + "-wal")
    sizes = []
    for batch in range(4):
        for number in range(200):
            nonce = (batch * 200 + number).to_bytes(32, "big")
            assert process.at_once(nonce, process.epoch()) is None
        process.live(1)
        sizes.append(log.stat().st_size)
    assert sizes[-1] < 1.5 * sizes[0]
