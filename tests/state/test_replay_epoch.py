"""When a new epoch begins: wherever the store can't vouch for the past, and nowhere else."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.core.errors import Code
from proxy.state.replay import Later
from proxy.state.replay_file import KEPT, SILENCE
from tests.claims import NONCE, Machine, Process

YEAR = 31_536_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@pytest.fixture
def process(path: Path) -> Iterator[Process]:
    with closing(Process(path)) as process:
        yield process


def _restart_quickly(process: Process) -> None:
    process.store.close()
    process.machine.wait(SILENCE)
    process.__post_init__()


def _live_for_an_hour(process: Process) -> None:
    for _ in range(900):
        process.machine.wait(4)
        process.keep_alive()


def _let_the_clock_be_trimmed(process: Process) -> None:
    for by in (2, -4, 3):
        process.machine.set_clock(by)
        process.live(1)


def _start_a_second_process(process: Process) -> None:
    Process(process.path, process.machine).close()


@pytest.mark.parametrize(
    "event",
    [_restart_quickly, _live_for_an_hour, _let_the_clock_be_trimmed, _start_a_second_process],
)
def test_the_epoch_goes_on(process: Process, event: Callable[[Process], None]) -> None:
    epoch = process.epoch()
    assert process.claim() is None
    event(process)
    assert process.epoch() == epoch
    assert process.claim(b"another", epoch) is None


def _be_silent(process: Process) -> None:
    process.machine.wait(SILENCE + 0.5)


def _restart_late(process: Process) -> None:
    process.store.close()
    process.machine.wait(SILENCE + 1)
    process.__post_init__()


def _set_the_clock_ahead(process: Process) -> None:
    process.machine.set_clock(YEAR)


def _set_the_clock_back(process: Process) -> None:
    process.machine.set_clock(-YEAR)


def _set_the_clock_bit_by_bit(process: Process) -> None:
    for _ in range(3):
        process.machine.set_clock(-2)
        process.live(1)


def _go_down_and_come_up(process: Process) -> None:
    process.store.close()
    process.machine.start_anew()
    process.__post_init__()


def _come_up_at_the_same_second(process: Process) -> None:
    process.store.close()
    process.machine.start_anew(process.machine.seconds)
    process.__post_init__()


def _delete(process: Process) -> None:
    process.path.unlink()


def _damage(process: Process) -> None:
    process.store.close()
    process.path.write_bytes(b"garbage" * 1000)
    process.__post_init__()


EVENTS = [
    _be_silent,
    _restart_late,
    _set_the_clock_ahead,
    _set_the_clock_back,
    _set_the_clock_bit_by_bit,
    _go_down_and_come_up,
    _come_up_at_the_same_second,
    _delete,
    _damage,
]


@pytest.mark.parametrize("event", EVENTS)
def test_a_new_epoch_begins_and_old_signatures_are_dead_whatever_the_clock_shows(
    process: Process, event: Callable[[Process], None]
) -> None:
    epoch, now = process.epoch(), process.machine.now
    assert process.claim() is None
    assert process.claim(b"unused") is None
    event(process)
    process.keep_alive()
    process.machine.set_clock(now - process.machine.now)  # the same second again
    assert process.claim(NONCE, epoch) is Code.OUT_OF_TIME
    assert process.claim(b"never sent", epoch) is Code.OUT_OF_TIME
    new = process.epoch()
    assert new != epoch
    assert process.claim(b"signed anew", new) is None
    assert process.at_once(b"and at once", new) is None


@pytest.mark.parametrize("event", EVENTS)
def test_every_process_goes_on_in_the_new_epoch(
    path: Path, event: Callable[[Process], None]
) -> None:
    machine = Machine()
    with closing(Process(path, machine)) as one, closing(Process(path, machine)) as two:
        old = one.epoch()
        assert two.epoch() == old
        event(one)
        if machine.boot != "first":
            two.restart()  # nothing outlives a start of the machine
        one.keep_alive()
        assert two.claim(epoch=old) is Code.OUT_OF_TIME
        assert two.epoch() == one.epoch() != old
        assert two.claim() is None
        assert one.claim() is Code.REPLAYED


@pytest.mark.parametrize("seconds", [2, 1200])
def test_a_clock_that_was_ahead_costs_nothing_once_it_is_right(
    process: Process, seconds: int
) -> None:
    """Also with calls while it was: each claims under an epoch that is over then."""
    assert process.claim(b"before") is None
    process.machine.set_clock(YEAR)
    for number in range(0, seconds, 2):
        process.live(2)
        assert process.claim(number.to_bytes(32, "big")) is None
    ahead = process.epoch()
    process.machine.set_clock(-YEAR)
    assert process.claim(b"old", ahead) is Code.OUT_OF_TIME
    assert process.claim(b"anew") is None
    process.live(2 * KEPT)
    assert process.rows() == 0
    assert process.claim(b"later") is None


def test_the_event_loop_begins_no_epoch_and_tells_no_old_one(process: Process) -> None:
    epoch = process.epoch()
    process.machine.set_clock(-30)
    with pytest.raises(Later):
        process.at_once(epoch=epoch)
    assert process.store.told(process.machine.now) is None
    told = process.store.look_again(process.machine.now)
    assert told is not None
    assert told.value != epoch
    assert process.store.told(process.machine.now) == told


def test_what_was_claimed_before_is_still_known_where_nothing_was_lost(process: Process) -> None:
    """Whoever was refused because of a new epoch sends the same nonce again."""
    assert process.claim() is None
    process.machine.set_clock(YEAR)
    assert process.claim() is Code.REPLAYED
    process.machine.wait(60)
    assert process.claim() is Code.REPLAYED


def test_its_memory_reaches_back_to_when_something_may_have_been_lost(process: Process) -> None:
    assert process.memory() == 0
    process.live(30)
    assert process.memory() == 30_000
    process.machine.set_clock(YEAR)
    assert process.memory() == 30_000
    process.live(1000)
    assert process.memory() == 600_000
    process.machine.wait(100)
    assert process.memory() == 0
    process.live(2)
    process.path.unlink()
    assert process.memory() == 0


# What comes back


def back_up_and_restore(process: Process, between: Callable[[], None]) -> None:
    """Back the store up while it is closed, do something, and put it back."""
    process.close()
    backup = process.path.with_name("backup")
    shutil.copy(process.path, backup)
    process.__post_init__()
    between()
    process.close()
    shutil.copy(backup, process.path)
    process.__post_init__()


@pytest.mark.parametrize("is_set_back", [False, True])
def test_a_restored_store_refuses_what_it_forgot(process: Process, *, is_set_back: bool) -> None:
    """Also with the clock set back to when the backup was made."""
    epoch, now = process.epoch(), process.machine.now

    def carry_out() -> None:
        assert process.claim(NONCE, epoch) is None
        process.live(6)
        if is_set_back:
            process.machine.set_clock(now - process.machine.now)

    back_up_and_restore(process, carry_out)
    assert process.rows() == 0
    assert process.claim(NONCE, epoch) is Code.OUT_OF_TIME


def test_a_copy_is_not_gone_on_with_be_it_a_moment_old(process: Process) -> None:
    epoch = process.epoch()
    process.close()
    copy = process.path.with_name("copy")
    shutil.copy(process.path, copy)
    process.__post_init__()
    assert process.epoch() == epoch
    assert process.claim(NONCE, epoch) is None
    process.close()
    copy.replace(process.path)
    process.__post_init__()
    assert process.claim(NONCE, epoch) is Code.OUT_OF_TIME


def test_a_store_kept_alive_by_another_process_vouches(path: Path) -> None:
    machine = Machine()
    with closing(Process(path, machine)) as first, closing(Process(path, machine)) as second:
        epoch = first.epoch()
        second.live(60)
        assert first.claim(epoch=epoch) is None


# What is said of it


def test_a_new_epoch_is_said_once_with_its_reason(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    process.machine.set_clock(-1000)
    for _ in range(3):
        process.keep_alive()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the clock was set by -1000 s" in record.getMessage()
