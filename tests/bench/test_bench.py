"""The benchmark's arithmetic and accounting, that its load believes nothing, and a short run."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.accounting import cpu_seconds, family, resident_bytes, resident_in
from bench.crew import Crew, NotStarted
from bench.figures import Sample, added, ratio, shown, spread
from bench.load import Wrong, measure
from bench.ratios import name_of, ratios_of
from bench.report import tables, write
from bench.rounds import Results
from bench.subjects import Comparison, Subject
from bench.work import GET, HOP_CASES, POST, SIZES, Case, content

_ROOT = Path(__file__).resolve().parents[2]
_SPINNER = """
import sys, time
while time.process_time() < 0.25: pass
print("spun", flush=True)
sys.stdin.read()
"""
_ONE = Case("one", "GET", "small", 1)


# Figures.


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


# Accounting.


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


# The load.


@contextmanager
def _server(answer: bytes) -> Iterator[int]:
    """Answer each request on one connection with these bytes; close where there are none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            wire, _ = listener.accept()
            with wire:
                while wire.recv(65536):
                    if not answer:
                        return
                    wire.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def _response(body: bytes, *, length: int | None = None, status: str = "200 OK") -> bytes:
    count = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {count}\r\n\r\n".encode() + body


_RIGHT = content("small")


@pytest.mark.parametrize(
    "answer",
    [
        _response(_RIGHT),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"a\r\n" + _RIGHT[:10] + b"\r\n5a\r\n" + _RIGHT[10:] + b"\r\n0\r\n\r\n",
    ],
)
def test_right_answers_are_counted_with_the_cpu_between(answer: bytes) -> None:
    readings = iter([1.0, 3.5])
    with _server(answer) as port:
        sample = measure(port, "h", _ONE, 0.05, lambda: next(readings))
    assert sample.requests >= 1
    assert sample.cpu == 2.5
    assert 0 < sample.p50 <= sample.elapsed


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_response(_RIGHT, status="502 Bad Gateway"), "status 502"),
        (_response(_RIGHT[:-1]), "the body ended after 99 of 100"),
        (_response(_RIGHT[:-1] + b"x"), "the body is another one"),
        (_response(_RIGHT + b"x"), "the body is another one"),
        (_response(_RIGHT) * 2, "a response that nobody waits for"),
        (b"", "closed after 0 of 100"),
        (b"SSH-2.0\r\n\r\n", "not HTTP"),
    ],
)
def test_a_wrong_answer_ends_the_measurement(answer: bytes, reason: str) -> None:
    with _server(answer) as port, pytest.raises(Wrong, match=reason):
        measure(port, "h", _ONE, 0.05, lambda: 0.0)


def test_bodies_are_the_same_in_every_process() -> None:
    line = "from bench.work import content; print(content('1mib')[:32].hex())"
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == content("1mib")[:32].hex()
    assert len(content("1mib")) == SIZES["1mib"]


# What a run makes of it.


def _never(crew: Crew, app: int) -> object:
    raise NotImplementedError


def _results(ours: list[float], theirs: list[float]) -> Results:
    start: Callable[..., object] = _never
    subjects = tuple(Subject(name, start, (GET, POST)) for name in ("ours", "nginx"))  # type: ignore[arg-type]
    results = Results(Comparison("hop", subjects, (GET, POST)))
    for name, costs in (("ours", ours), ("nginx", theirs)):
        results.samples[GET.name, name] = [Sample(1, cost, 1.0, 0.1) for cost in costs]
    return results


def test_ratios_have_their_names() -> None:
    found = ratios_of(_results([4.0, 6.0], [2.0, 2.0]))
    assert {name: value.median for name, value in found.items()} == {"public_hop_vs_nginx": 2.5}
    names = [name_of("hop", case) for case in HOP_CASES]
    assert names[:5] == [f"public_hop{c}" for c in ("_c1", "_c8", "", "_c128", "_c512")]
    assert names[5:] == ["post", "down_1mib", "up_1mib", "down_64mib", "up_64mib"]
    assert [name_of("way_in", case) for case in (GET, POST)] == ["way_in_get", "way_in_post"]


def test_what_failed_in_one_round_has_no_ratio_and_is_reported_with_its_error() -> None:
    results = _results([4.0, 6.0], [2.0])
    results.fail(GET.name, "nginx", "status 502; its log:\n worker died")
    assert ratios_of(results) == {}
    text = tables([results], {})
    assert "- hop, nginx, get_32: status 502; its log: worker died" in text


def test_ratios_are_written_flat(tmp_path: Path) -> None:
    results = _results([4.0], [2.0])
    write(tmp_path / "out", [results], ratios_of(results), "the table")
    assert json.loads((tmp_path / "out" / "ratios.json").read_text()) == {
        "public_hop_vs_nginx": 2.0
    }
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["samples"]["hop"]["get_32 ours"][0]["cpu"] == 4.0


def test_a_subject_that_cannot_start_says_why() -> None:
    with Crew() as crew, pytest.raises(NotStarted, match="No module named"):
        crew.start_python("no_such_subject")


def test_a_crew_leaves_no_process_behind() -> None:
    with Crew() as crew:
        member = crew.start_python("taker", measured=False)
        assert member.process.poll() is None
    assert member.process.poll() is not None
    assert not crew.folder.exists()


@pytest.mark.more
def test_a_short_run_measures_ours_and_reports_the_rest(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "bench", "--rounds", "1", "--seconds", "0.05"]
    done = subprocess.run(
        [*line, "--out", str(tmp_path)],
        cwd=_ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ratios = json.loads((tmp_path / "ratios.json").read_text())
    assert {"way_in_get_vs_uvicorn_h11", "engine_get_vs_httpx", "mb_per_1000_idle"} <= set(ratios)
    assert all(value > 0 for value in ratios.values())
    for peer in ("nginx", "asgiproxy", "fastapi_proxy_lib", "aiohttp"):
        assert f"public_hop_vs_{peer}" in ratios or f"- hop, {peer}, " in done.stdout
