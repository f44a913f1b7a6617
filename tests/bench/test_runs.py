"""The benchmark's processes, and short runs of all of it."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import portals, tls
from bench.baseline import NoBaseline, tree_of
from bench.comparisons import Comparison, Pair
from bench.crew import ROOT, Crew, NotStarted
from bench.goals import IDLE, MESSAGE, UPLOAD, WEBSOCKETS
from bench.instructions import measure_instructions
from bench.interpreter import build
from bench.load import Wrong
from bench.mixed import GROWTH, measure_growth
from bench.parts import measure_parts
from bench.rounds import Pace, run
from bench.sockets import measure_sockets
from bench.start import RESIDENT, composition, measure_start
from bench.subjects import Apps, Running, Subject
from bench.syscalls import calls_per_request
from bench.tails import TAILS, connections_for, measure_tails
from bench.work import GET
from bench.workers import TWO, measure_two
from tests.patience import soon

_ROOT = Path(__file__).resolve().parents[2]


def test_a_subject_that_cannot_start_says_why() -> None:
    with Crew() as crew, pytest.raises(NotStarted, match="No module named"):
        crew.start_python("no_such_subject")


def test_a_crew_leaves_no_process_behind() -> None:
    with Crew() as crew:
        member = crew.start_python("taker", measured=False)
        assert member.process.poll() is None
    assert member.process.poll() is not None
    assert not crew.folder.exists()


def test_websockets_are_opened_spoken_on_and_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.sockets.SOCKETS", 80)
    with Crew() as crew:
        assert measure_sockets(crew) > 0


def test_a_hop_with_tls_is_asked_over_tls() -> None:
    subject = Subject("ours", tls.public_hop, (GET,))
    pairs = (Pair("tls_hop", GET, "ours", "ours"),)
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        comparison = Comparison("tls", (subject,), (GET,), pairs)
        results = run(comparison, crew, Apps(taker, taker), Pace(1, 0.05, 60), lambda _: None)
    assert results.failures == {}
    assert results.of(GET.name, "ours")[0].requests >= GET.connections


@pytest.mark.more
def test_two_workers_are_measured_beside_one() -> None:
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        found = measure_two(crew, Apps(taker, taker), 1, 0.05)
    assert found[TWO].median > 0


@pytest.mark.more
def test_tails_are_measured_alone_and_beside_a_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.tails.CROWDS", (32,))
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        said: dict[str, str] = {}
        found = measure_tails(crew, Apps(taker, taker), 1, 0.1, ROOT, said.__setitem__)
    assert said == {}
    rows = [name for name in TAILS if name.startswith("c32")]
    assert set(found) == {f"p99_over_p50_{name}" for name in rows} | {
        f"p99_{name}_vs_baseline" for name in rows
    }


@pytest.mark.more
def test_a_hop_is_sampled_while_it_serves() -> None:
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        table = measure_parts(crew, Apps(taker, taker), 0.5)
    assert "| the relay: inbound | " in table
    assert "| signatures, and keys | " in table


def test_connections_are_as_many_as_descriptors_allow() -> None:
    allowed = (resource.RLIM_INFINITY, 65_536, 20_000)
    assert [connections_for(number) for number in allowed] == [10_000, 10_000, 6_000]
    with pytest.raises(Wrong, match="1024 descriptors"):
        connections_for(1024)


def test_a_folder_with_the_project_is_a_baseline_and_runs_its_own_code(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "proxy", tree / "proxy")
    command = tree / "proxy" / "__main__.py"
    command.write_text("raise SystemExit('of the baseline')")
    assert tree_of(str(tree), tmp_path) == tree
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        with pytest.raises(NotStarted, match="of the baseline"):
            portals.public_hop(crew, Apps(taker, taker), tree=tree)


def test_a_revision_is_laid_out_beside_the_results_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    (source / "proxy").mkdir(parents=True)
    (source / "proxy" / "__main__.py").write_text("first")
    git = ("git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@a")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr("bench.baseline.ROOT", source)
    (source / "proxy" / "__main__.py").write_text("second")
    tree = tree_of("HEAD", tmp_path / "out")
    assert (tree / "proxy" / "__main__.py").read_text() == "first"
    assert tree_of("HEAD", tmp_path / "out") == tree


def test_what_is_no_revision_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NoBaseline, match="no-such-revision is neither"):
        tree_of("no-such-revision", tmp_path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't here")
def test_system_calls_are_counted_per_request() -> None:
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        apps = Apps(taker, taker)
        try:
            found = calls_per_request(portals.public_hop, crew, apps, 0.2)
        except Wrong as error:
            pytest.skip(str(error))
    assert 2 < found < 100


def test_each_that_cant_be_started_has_its_row_without_a_count_of_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ending(*_: object) -> Running:
        raise NotStarted("it ended")

    monkeypatch.setattr("bench.instructions.shutil.which", lambda program: program)
    said: dict[str, str] = {}
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        starts = {"one": ending, "another": ending}
        assert measure_instructions(starts, crew, Apps(taker, taker), said.__setitem__) == {}
    rows = ("kilo_instructions_one", "kilo_instructions_another")
    assert said == dict.fromkeys(rows, "it ended")


@pytest.mark.more
def test_mixed_load_has_a_growth() -> None:
    with Crew() as crew:
        taker = crew.start_python("taker", measured=False)
        assert isinstance(measure_growth(crew, Apps(taker, taker), 1.0), float)


@pytest.mark.more
def test_a_short_run_measures_ours_and_reports_the_rest(tmp_path: Path) -> None:
    done = _bench("bench", tmp_path, "--minutes", "0.1")
    assert done.returncode == 0, done.stdout + done.stderr
    ratios = json.loads((tmp_path / "ratios.json").read_text())
    ours = {"way_in_get_vs_uvicorn_h11", "engine_get_vs_httpx", "sealed_vs_signed"}
    ours |= {IDLE, UPLOAD, WEBSOCKETS, "sealed_down_64mib_vs_public"}
    assert ours <= set(ratios)
    assert ratios.pop("python") == build()
    assert all(value > 0 for value in ratios.values())
    assert {"p99_over_p50_c32", "p99_over_p50_c512_beside_64mib", TWO, GROWTH} <= set(ratios)
    assert any(name.startswith("throughput_c") for name in ratios)
    missing = json.loads((tmp_path / "run.json").read_text())["not_measured"]
    for name, by in (
        ("syscalls_public_hop", "syscalls"), (MESSAGE, "message"),
        ("kilo_instructions_ours", "instructions"),
    ):  # fmt: skip
        assert name in ratios or by in missing or name in missing
    for peer in ("nginx", "asgiproxy", "fastapi_proxy_lib", "aiohttp"):
        assert f"public_hop_vs_{peer}" in ratios or f"- hop, {peer}, " in done.stdout
    for peer in ("nginx", "asgiproxy"):
        assert f"signing_hop_vs_{peer}" in ratios or f"- calls, {peer}, " in done.stdout
        assert f"verifying_hop_vs_{peer}" in ratios or f"- calls, {peer}, " in done.stdout


@pytest.mark.more
def test_a_short_run_of_the_curves_has_every_point_of_those_it_is_asked_for(tmp_path: Path) -> None:
    done = _bench("bench.curves", tmp_path, "--only", "apps", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    curves = json.loads((tmp_path / "curves.json").read_text())
    assert {name: {len(line) for line in series.values()} for name, series in curves.items()} == {
        "apps": {6}, "rules": {7},
    }  # fmt: skip
    assert "verifying hop" in (tmp_path / "curves.svg").read_text()


def _bench(module: str, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", module, "--rounds", "1", "--seconds", "0.05", *words]
    return subprocess.run(
        [*line, "--out", str(out)],
        cwd=_ROOT, capture_output=True, text=True, check=False, timeout=soon(900),
    )  # fmt: skip


_NO_LIBRARY_MORE = 85
"""Megabytes: more than any Python needs for what is imported today, and a large library less."""


def test_a_start_is_measured_and_what_memory_is_made_of_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.start._IDLE", 0.5)
    monkeypatch.setattr("bench.start._COMMANDS", 1)
    with Crew() as crew:
        try:
            found, table = measure_start(crew, 1), composition(crew)
        except Wrong as error:  # without root, nobody looks at a Portal's memory
            pytest.skip(str(error))
    assert all(spread.median > 0 for spread in found.values())
    assert found[RESIDENT].median < _NO_LIBRARY_MORE
    assert [row.split("|")[1].strip() for row in table.splitlines()][-1] == "an idle Portal"
