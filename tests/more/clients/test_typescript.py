"""clients/typescript is built and used as an author does, and its own tests pass."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import ROOT, environment

_FOLDER = ROOT / "clients" / "typescript"
_OLDEST = (20, 19)


def _what_is_missing() -> str | None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "no Node.js with npm here"
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, told.strip().removeprefix("v").split(".")))[:2] < _OLDEST:
        return f"Node.js {told.strip()} here, and this needs 20.19 or newer"
    if not (_FOLDER / "node_modules" / "installed").exists():
        return "the package's tools aren't here: tests/more/set-up gets them from npm"
    return None


_MISSING = _what_is_missing()
pytestmark = [pytest.mark.more, pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))]


def _npm(*words: str, folder: Path = _FOLDER) -> str:
    own = Path(sys.executable).with_name("portal-proxy")
    done = subprocess.run(
        ["npm", *words], cwd=folder, env={**environment(), "PORTAL_PROXY": str(own)},
        capture_output=True, text=True, check=False, timeout=PATIENCE * 8,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    _npm("run", "--silent", "build")


@pytest.mark.parametrize("script", ["test", "test:portals"])
def test_its_own_tests_pass(script: str) -> None:
    said = _npm("run", "--silent", script).splitlines()
    numbers = dict(line.removeprefix("# ").split() for line in said if _is_number(line))
    assert numbers["fail"] == numbers["cancelled"] == numbers["skipped"] == "0"
    assert int(numbers["pass"]) > 20


def _is_number(line: str) -> bool:
    return line.startswith(("# pass ", "# fail ", "# cancelled ", "# skipped "))


def test_what_is_published_is_enough_for_an_author(tmp_path: Path) -> None:
    """Packed, installed elsewhere without any other package, and used as by a stranger."""
    (packed,) = json.loads(_npm("pack", "--json", "--pack-destination", str(tmp_path)))
    files = {entry["path"] for entry in packed["files"]}
    assert {"package.json", "README.md", "dist/index.js", "dist/index.d.ts"} <= files
    assert not [name for name in files if name.startswith(("src", "test", "build", "examples"))]
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}', "ascii")
    _npm(
        "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts",
        str(tmp_path / packed["filename"]), folder=tmp_path,
    )  # fmt: skip
    installed = {path.name for path in (tmp_path / "node_modules").iterdir()}
    assert installed == {".package-lock.json", "portal-peers"}
    (tmp_path / "use.ts").write_text(
        'import { type Caller, caller, Refused, type Peer } from "portal-peers";\n'
        'import { FakePortal } from "portal-peers/testing";\n'
        "const fake: FakePortal = new FakePortal();\n"
        'const bob: Peer = fake.peer(fake.addPeer("Bob", () => Response.json({ a: 1 })));\n'
        'const told: { a: number } = await bob.json<{ a: number }>("/");\n'
        "const who: Caller = caller({ headers: new Headers() });\n"
        "console.log(told.a, who.type, new Refused({} as never) instanceof Error);\n",
        "utf-8",
    )
    tools = _FOLDER / "node_modules"
    subprocess.run(
        ["node", tools / "typescript" / "bin" / "tsc", "--strict", "--target", "es2022",
         "--module", "nodenext", "--typeRoots", tools / "@types", "--types", "node", "use.ts"],
        cwd=tmp_path, check=True, timeout=PATIENCE * 2,
    )  # fmt: skip
    used = subprocess.run(
        ["node", "use.js"], cwd=tmp_path, env=environment(), capture_output=True, text=True,
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert used.stdout == "1 anonymous true\n"
