"""Which Python the benchmark takes: a whole one, an optimised one, the newest of these."""

import os
import stat
import sys
from pathlib import Path

import pytest

from bench import interpreter
from bench.interpreter import best, build


def _python(folder: Path, name: str, response: str, status: int = 0) -> str:
    """Make what answers the question of what it is, as a Python does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{response}'\nexit {status}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(interpreter, "_ALWAYS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_an_optimised_one_comes_first_and_then_the_newest(folder: Path) -> None:
    assert best() is None
    _python(folder / "bin", "python3.13", '[[3, 13, 0], false, "plain13"]')
    assert best() == "plain13"
    _python(folder / ".pyenv/versions/3.11.7/bin", "python3.11", '[[3, 11, 7], true, "quick11"]')
    assert best() == "quick11"
    _python(folder / "bin", "python3.12", '[[3, 12, 9], true, "quick12"]')
    assert best() == "quick12"


@pytest.mark.parametrize(
    ("response", "status"),
    [("no JSON", 0), ('[[3, 12, 1], true, "without venv"]', 1), ('[[3, 10, 1], true, "old"]', 0)],
)
def test_what_the_proxy_cant_run_on_isnt_taken(folder: Path, response: str, status: int) -> None:
    _python(folder / "bin", "python3.12", response, status)
    assert best() is None


def test_a_real_one_is_asked(folder: Path) -> None:
    (folder / "bin").mkdir()
    name = f"python3.{sys.version_info[1]}"
    (folder / "bin" / name).symlink_to(os.path.realpath(sys.executable))
    assert best() is not None


def test_the_running_one_says_its_version_and_build() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    assert build() in {f"CPython {version} (optimised)", f"CPython {version} (not optimised)"}
