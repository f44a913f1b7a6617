"""The wheel: typed, small, and complete where nothing of this repository is."""

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

from server import http, serving

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]
PROGRAM = """
import sys, portal_peers
assert "pytest" not in sys.modules and "uvicorn" not in sys.modules and "proxy" not in sys.modules
print([peer.name for peer in portal_peers.peers()])
"""


def settings(folder: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def test_the_proxys_wheel_has_nothing_of_it() -> None:
    include = settings(ROOT)["tool"]["setuptools"]["packages"]["find"]["include"]  # type: ignore[index]
    folders = [each.name for each in ROOT.iterdir() if each.is_dir()]
    assert [each for each in folders if any(fnmatch(each, like) for like in include)] == ["proxy"]


def test_both_have_the_same_version_and_licence() -> None:
    own, proxys = settings(PACKAGE)["project"], settings(ROOT)["project"]
    assert own["version"] == proxys["version"]
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.more
def test_a_fresh_environment_calls_with_the_wheel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copytree(
        PACKAGE / "portal_peers",
        source / "portal_peers",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PACKAGE / name, source)
    quiet = ("-qq", "--disable-pip-version-check")
    _run(source, sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "-w", "..", ".")
    (wheel,) = tmp_path.glob("portal_peers-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"portal_peers/{each.name}" for each in (PACKAGE / "portal_peers").glob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == {
        "portal_peers/py.typed",
        *modules,
    }

    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    _run(tmp_path, python, "-m", "pip", "install", *quiet, str(wheel))
    peers = b'[{"id": "abcdef", "name": "Bob", "is_reachable": true}]'
    with serving(http(200, peers)) as server:
        told = _run(tmp_path, python, "-W", "error", "-c", PROGRAM, PORTAL_CORE_URL=server.url)
    assert told == "['Bob']\n"


def _run(folder: Path, *words: str, **own: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=folder, env=kept | own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
