"""Tests the proxy with each of the other Pythons: ``python -m tests.more.pythons [VERSION...]``.

With each one: the tests of the core, of the files that people write and of those that the proxy
writes, on the sources; those of the library for apps; and a round trip of two Portals from the
wheel. One that can be had nowhere is skipped, and counted. Status 1 where something failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from .finding import fetch, find
from .round_trip import make_a_round_trip

VERSIONS = ("3.12", "3.13", "3.14", "3.15")
ROOT = Path(__file__).resolve().parents[3]
_TESTS = ("tests/core", "tests/config", "tests/state")
_CLIENT = ROOT / "clients" / "python"
_ENVIRONMENTS = ROOT / ".venv-pythons"
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.more.pythons")
    parser.add_argument("versions", nargs="*", help=f"by default {' '.join(VERSIONS)}")
    results: dict[str, str] = {}
    with TemporaryDirectory(prefix="py-") as temporary:
        wheel = _wheel(Path(temporary))
        for version in parser.parse_args().versions or VERSIONS:
            began = time.monotonic()
            program = find(version) or fetch(version)
            if program is None:
                results[version] = "skipped"
                print(f"Python {version}: skipped, for it can be had nowhere", flush=True)
                continue
            folder = Path(temporary) / version
            folder.mkdir()
            results[version] = _tested(version, program, wheel, folder)
            seconds = time.monotonic() - began
            print(f"Python {version}: {results[version]}, {program}, {seconds:.0f} s", flush=True)
    count = {kind: list(results.values()).count(kind) for kind in ("passed", "failed", "skipped")}
    print(", ".join(f"{number} {kind}" for kind, number in count.items()))
    return 1 if count["failed"] else 0


def _tested(version: str, program: Path, wheel: Path, folder: Path) -> str:
    try:
        python = _environment(version, program, wheel)
        words = ["-m", "pytest", "-q", "-n", "2", "-m", "not more", "-p", "no:cacheprovider"]
        few = ("-p", "tests.more.pythons.few_examples")
        # The path of a Unix socket has few bytes: short names.
        own = ("--basetemp", folder / "t", *_TESTS)
        subprocess.run([python, *words, *few, *own], cwd=ROOT, check=True)
        theirs = ("--basetemp", folder / "c")
        subprocess.run([python, *words, *theirs], cwd=_CLIENT, check=True, env=_with(ROOT))
        make_a_round_trip(python.with_name("portal-proxy"), folder)
    except subprocess.CalledProcessError as error:
        print(f"Python {version}: {error}", flush=True)
        return "failed"
    except AssertionError as error:
        print(f"Python {version}: the round trip: {error}", flush=True)
        return "failed"
    return "passed"


def _with(folder: Path) -> dict[str, str]:
    """Return this environment, in which what is in ``folder`` can be imported."""
    return {**os.environ, "PYTHONPATH": str(folder)}


def _environment(version: str, program: Path, wheel: Path) -> Path:
    """Make an environment with the wheel in it, and what its tests need; return its Python."""
    folder = _ENVIRONMENTS / version
    python = folder / "bin" / "python"
    stamp, wanted = folder / "wanted", f"{program}\n{(ROOT / 'pyproject.toml').read_text('utf-8')}"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        # Without pip, which not every Python brings: ours installs for all.
        subprocess.run([program, "-m", "venv", "--without-pip", folder], check=True)
        _install(python, str(wheel), *_groups()["test"])
        _install(python, "--no-deps", "--editable", str(_CLIENT))
        stamp.write_text(wanted, "utf-8")
    _install(python, "--force-reinstall", "--no-deps", str(wheel))
    return python


def _install(python: Path, *words: str) -> None:
    subprocess.run([*_PIP, "--python", str(python), "install", "-qq", *words], check=True)


def _groups() -> dict[str, list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups: dict[str, list[str]] = settings["dependency-groups"]
    return groups


def _wheel(folder: Path) -> Path:
    """Build the wheel, from a copy: a build leaves things behind where it is made."""
    source = folder / "source"
    shutil.copytree(ROOT / "proxy", source / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*_PIP, "wheel", "-qq", "--no-deps", "-w", folder, source], check=True)
    (wheel,) = folder.glob("portal_proxy-*.whl")
    return wheel


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
