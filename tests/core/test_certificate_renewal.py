"""When a certificate is renewed, and when a failed try is repeated."""

from __future__ import annotations

import pytest

from proxy.core.certificate_renewal import (
    FIRST_WAIT,
    LONGEST_WAIT,
    due_at,
    may_try,
    wait_after,
)

DAY = 86_400


def test_a_certificate_is_renewed_after_two_thirds_of_its_life_or_a_little_before() -> None:
    assert due_at(1000, 1000 + 90 * DAY, 0.0) == pytest.approx(1000 + 60 * DAY)
    assert due_at(1000, 1000 + 90 * DAY, 1.0) == pytest.approx(1000 + 55.5 * DAY)


def test_one_that_lives_for_days_is_renewed_within_days() -> None:
    assert 3.6 * DAY < due_at(0, 6 * DAY, 0.5) < 4 * DAY


def test_failures_in_a_row_are_repeated_ever_later_and_no_later_than_that() -> None:
    waits = [wait_after(failures, 0.0) for failures in range(1, 40)]
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT


def test_no_authority_is_asked_more_often_than_five_times_an_hour() -> None:
    tries = [0.0]
    for failures in range(1, 10):
        tries.append(tries[-1] + wait_after(failures, 0.0))
    assert sum(at <= 3600 for at in tries) <= 5


def test_chance_makes_a_wait_longer_and_never_shorter() -> None:
    assert wait_after(1, 0.0) < wait_after(1, 0.5) < wait_after(1, 1.0) < wait_after(2, 0.0)


def test_a_try_waits_for_its_time() -> None:
    assert not may_try(1000.0, 1001.0)
    assert may_try(1001.0, 1001.0)
    assert may_try(1000.0, 0.0)


def test_a_time_that_a_clock_which_was_ahead_noted_holds_nothing_up() -> None:
    assert may_try(1000.0, 1000.0 + 365 * DAY)
    assert not may_try(1000.0, 1000.0 + wait_after(99, 1.0))
