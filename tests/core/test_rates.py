"""Limits on rates: never more than was said, nobody past, and no more memory than at first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rates import UNITS, Rate, RateTable

SECOND = UNITS["s"]
START = 10**15
"""A clock that nobody sets begins at some time, and not at 0."""

rates = st.builds(Rate, st.integers(1, 999_999), st.sampled_from(("s", "m")), st.integers(1, 50))
steps = st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=200)


def table(rows: int = 64) -> RateTable:
    return RateTable(memoryview(bytearray(2 * rows * 8)).cast("q"))


def asks(limited: RateTable, name: str, rate: Rate, now: int, kept: int = 0) -> bool:
    """Ask once; tell whether that was let through."""
    if limited.wait(name, rate, now, kept):
        return False
    limited.count(name, rate, now)
    return True


@dataclass
class Bucket:
    """A bucket of tokens, which the table must be like: as simple as it is told to owners."""

    rate: Rate
    at: int = START

    def __post_init__(self) -> None:
        self.spared = self.rate.burst * self.rate.interval
        """Nanoseconds: a token is one interval of them."""

    def takes(self, now: int) -> bool:
        most = self.rate.burst * self.rate.interval
        self.spared = min(most, self.spared + now - self.at)
        self.at = now
        if self.spared < self.rate.interval:
            return False
        self.spared -= self.rate.interval
        return True


@given(rates, steps)
def test_it_is_a_bucket_of_tokens(rate: Rate, steps: list[int]) -> None:
    limited, bucket, now = table(), Bucket(rate), START
    for step in steps:
        now += step
        assert asks(limited, "one", rate, now) == bucket.takes(now)


@given(rates, steps)
def test_no_stretch_of_time_has_more_than_the_burst_and_its_part(
    rate: Rate, steps: list[int]
) -> None:
    limited, now = table(), START
    let_in: list[int] = []
    for step in steps:
        now += step
        if asks(limited, "one", rate, now):
            let_in.append(now)
    for first, begin in enumerate(let_in):
        for many, end in enumerate(let_in[first:], start=1):
            assert many <= rate.burst + (end - begin) // rate.interval


@given(rates, steps)
def test_who_waits_as_long_as_told_is_let_in_and_not_before(rate: Rate, steps: list[int]) -> None:
    limited, now = table(), START
    for step in steps:
        now += step
        wait = limited.wait("one", rate, now)
        if wait:
            assert wait <= rate.interval
            assert limited.wait("one", rate, now + wait - 1) == 1
            now += wait
        assert asks(limited, "one", rate, now)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, SECOND)), min_size=1, max_size=200),
)
def test_nobody_gets_past_however_many_share_the_cells(
    rows: int, asked: list[tuple[int, int]]
) -> None:
    """In a table that is far too small each gets what is left, and never more than its own."""
    rate = Rate(2, "s", 3)
    limited, now = table(rows), START
    alone = {name: Bucket(rate) for name in range(10)}
    for name, step in asked:
        now += step
        let_in = asks(limited, f"name {name}", rate, now)
        if let_in:
            assert alone[name].takes(now)


def test_those_of_a_large_table_are_hardly_in_each_other_s_way() -> None:
    rate = Rate(1, "m", 1)
    limited = table(4096)
    for number in range(200):
        limited.count(f"flood {number}", rate, START)
    met = sum(not asks(limited, f"other {number}", rate, START) for number in range(200))
    assert met < 20


def test_more_names_take_no_more_memory() -> None:
    cells = memoryview(bytearray(2 * 256 * 8)).cast("q")
    limited = RateTable(cells)
    for number in range(10_000):
        asks(limited, f"{number}", Rate(10, "s", 20), START)
    assert vars(limited).keys() == {"_cells", "_rows"}
    assert len(cells) == 512


def test_what_is_kept_of_a_burst_is_there_for_who_may_have_it() -> None:
    rate, limited = Rate(1, "m", 8), table()
    assert sum(asks(limited, "app", rate, START, kept=2) for _ in range(20)) == 6
    assert sum(asks(limited, "app", rate, START, kept=1) for _ in range(20)) == 1
    assert sum(asks(limited, "app", rate, START) for _ in range(20)) == 1
    assert limited.wait("app", rate, START, kept=2) == 3 * rate.interval


def test_who_is_counted_without_leave_pays_later() -> None:
    """As calls are whose nonces were claimed at one moment."""
    rate, limited = Rate(10, "s", 1), table()
    for _ in range(3):
        limited.count("one", rate, START)
    assert limited.wait("one", rate, START) == 3 * rate.interval


def test_what_is_cleared_begins_anew() -> None:
    rate, limited = Rate(1, "m", 1), table()
    assert asks(limited, "one", rate, START)
    assert not asks(limited, "one", rate, START)
    limited.clear()
    assert asks(limited, "one", rate, START)


@pytest.mark.parametrize(
    ("rate", "interval"),
    [(Rate(1, "s", 1), SECOND), (Rate(3, "s", 1), 333_333_334), (Rate(60, "m", 9), SECOND),
     (Rate(999_999, "s", 1), 1001)],
)  # fmt: skip
def test_an_interval_is_rounded_up(rate: Rate, interval: int) -> None:
    assert rate.interval == interval
