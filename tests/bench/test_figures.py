"""The benchmark's arithmetic, and what it takes from the operating system's accounting."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.accounting import cpu_seconds, family, resident_bytes, resident_in
from bench.figures import Sample, added, ratio, shown, spread

_SPINNER = """
import sys, time
while time.process_time() < 0.25: pass
print("spun", flush=True)
sys.stdin.read()
"""


def test_a_spread_is_the_median_and_the_extremes() -> None:
    found = spread([3.0, 1.0, 20.0])
    assert (found.median, found.least, found.most) == (3.0, 1.0, 20.0)
    assert str(found) == "3.00 (1.00..20.0)"


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_a_ratio_is_taken_round_by_round_and_not_of_medians() -> None:
    # A machine that was three times slower in one round was so for both.
    found = ratio([10.0, 30.0, 12.0], [5.0, 15.0, 4.0])
    assert (found.median, found.least, found.most) == (2.0, 2.0, 3.0)


def test_rounds_that_one_side_missed_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_what_a_hop_adds_is_never_nothing_so_it_can_be_divided_by() -> None:
    assert added([5e-3, 1e-3], [1e-3, 2e-3]) == [4e-3, 1e-6]


def test_a_sample_tells_microseconds_a_request() -> None:
    sample = Sample(requests=2000, cpu=0.5, elapsed=1.0, p50=0.01)
    assert (sample.cost, sample.throughput) == (250.0, 2000.0)


@pytest.mark.parametrize(
    ("figure", "text"), [(0.123, "0.12"), (9.96, "9.96"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_figures_show_the_digits_that_mean_something(figure: float, text: str) -> None:
    assert shown(figure) == text


@contextmanager
def _spinner() -> Iterator[subprocess.Popen[bytes]]:
    line = [sys.executable, "-c", _SPINNER]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"spun\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_process_is_charged_what_proc_stat_charges_it() -> None:
    with _spinner() as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        user, system = map(int, stat.rpartition(")")[2].split()[11:13])
        ticks = (user + system) / os.sysconf("SC_CLK_TCK")
        used = cpu_seconds(process.pid)
    assert used >= 0.25
    assert used == pytest.approx(ticks, abs=0.03)


def test_a_process_is_charged_for_its_children() -> None:
    with _spinner() as process:
        assert process.pid in family(os.getpid())
        assert cpu_seconds(os.getpid()) >= 0.25
        assert resident_bytes(os.getpid()) > resident_bytes(process.pid) > 1_000_000


def test_a_process_that_is_gone_is_an_error_and_not_free() -> None:
    with _spinner() as process:
        pass
    with pytest.raises(OSError, match=str(process.pid)):
        cpu_seconds(process.pid)


def test_resident_memory_is_read_in_bytes() -> None:
    assert resident_in("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t   120 kB\n") == 120 * 1024


@pytest.mark.parametrize("status", ["Name:\tkthreadd\n", "VmRSS:\t 1 MB\n"])
def test_memory_in_no_known_form_is_an_error(status: str) -> None:
    with pytest.raises(ValueError, match="VmRSS"):
        resident_in(status)
