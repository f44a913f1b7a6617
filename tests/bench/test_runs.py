"""The benchmark's processes, and short runs of all of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.crew import Crew, NotStarted
from bench.ratios import IDLE, UPLOAD, WEBSOCKETS
from bench.sockets import measure_sockets
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


@pytest.mark.more
def test_a_short_run_measures_ours_and_reports_the_rest(tmp_path: Path) -> None:
    done = _bench("bench", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    ratios = json.loads((tmp_path / "ratios.json").read_text())
    ours = {"way_in_get_vs_uvicorn_h11", "engine_get_vs_httpx", "sealed_vs_signed"}
    ours |= {IDLE, UPLOAD, WEBSOCKETS, "sealed_down_64mib_vs_public"}
    assert ours <= set(ratios)
    assert all(value > 0 for value in ratios.values())
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
        cwd=_ROOT, capture_output=True, text=True, check=False, timeout=soon(300),
    )  # fmt: skip
