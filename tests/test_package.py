"""The wheel: all that the program reads is in it, and a fresh environment runs it."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.more.pythons.__main__ import VERSIONS

ROOT = Path(__file__).resolve().parents[1]
PROXY = ROOT / "proxy"


def other_files() -> set[str]:
    """Return the files below proxy/ that are no modules, as the wheel names them."""
    found = (path for path in PROXY.rglob("*") if path.is_file() and path.suffix != ".py")
    return {str(path.relative_to(PROXY)) for path in found if path.suffix != ".pyc"}


def test_what_is_no_module_is_named_as_the_package_s_data() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["proxy"]
    assert other_files()
    assert not [name for name in other_files() if not any(fnmatch(name, p) for p in patterns)]


def test_the_pythons_that_it_names_are_those_that_it_is_tested_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {each.rpartition(" ")[2] for each in project["classifiers"] if ":: 3." in each}
    assert named == {project["requires-python"].removeprefix(">="), *VERSIONS}


@pytest.mark.more
def test_a_fresh_environment_runs_the_wheel(tmp_path: Path) -> None:
    quiet = ("-qq", "--disable-pip-version-check")
    source = tmp_path / "source"  # a build leaves things behind where it is made
    shutil.copytree(PROXY, source / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(source, sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "-w", str(tmp_path), ".")
    (wheel,) = tmp_path.glob("portal_proxy-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"proxy/{name}" for name in other_files()} <= names
    assert not [name for name in names if name.startswith(("tests/", "demo/", "bench/"))]

    venv.create(tmp_path / "venv", with_pip=True)
    run(tmp_path, str(tmp_path / "venv/bin/python"), "-m", "pip", "install", *quiet, str(wheel))
    program = str(tmp_path / "venv/bin/portal-proxy")
    assert run(tmp_path, program, "--version").strip()
    assert "Type=notify" in run(tmp_path, program, "service", "print")
    assert "Portal ID" in run(tmp_path, program, "init", "--name", "Ada", "--domain", "a.example")
    assert "No problems found." in run(tmp_path, program, "check")


def run(folder: Path, *words: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
