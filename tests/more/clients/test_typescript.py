"""clients/typescript is built and used as an author does, and its own tests pass."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import ROOT, environment
from tests.wire.harness.recorder import eventually

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


def test_the_page_s_commands_lead_to_a_guestbook_that_calls(tmp_path: Path) -> None:
    """As docs/for-app-authors.md has them, with whatever npm has by now."""
    page = (ROOT / "docs" / "for-app-authors.md").read_text("utf-8")
    section = page.partition("### In TypeScript")[2]
    block = re.search(r"^```sh\n(npm init .*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert block
    *setting_up, dev = block[1].replace("COPY", str(ROOT)).splitlines()
    for file in ("server.ts", "app.json"):
        shutil.copy(_FOLDER / "examples" / "guestbook" / file, tmp_path)
    done = subprocess.run(
        ["bash", "-euc", "\n".join(setting_up)], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=False, timeout=PATIENCE * 8,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with socket.socket() as one, socket.socket() as other:
        for holder in (one, other):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
        ports = ",".join(str(each.getsockname()[1]) for each in (one, other))
    program, *words = shlex.split(dev.replace("8001,8002", ports))
    assert program == "portal-proxy"
    words.insert(1, "--json")
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "proxy", *words], cwd=tmp_path, env=environment(),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert running.stdout is not None
        _writes_into_the_others(_ready(running.stdout))
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=PATIENCE)
    assert running.returncode == 0


def _ready(lines: IO[str]) -> list[dict[str, Any]]:
    for line in lines:
        if (event := json.loads(line))["event"] == "ready":
            portals: list[dict[str, Any]] = event["portals"]
            return portals
    raise AssertionError("it ended before it was ready")


def _writes_into_the_others(portals: list[dict[str, Any]]) -> None:
    # Her owner's device asks; past her proxy, which has its own tests.
    write = urlsplit(portals[0]["apps"]["guestbook"]["upstream"]).netloc

    def is_written() -> bool:
        try:
            return _asked(write, "POST", "/write", body="Hello!") == "Bob: 201\n"
        except ConnectionError:
            return False  # the app isn't there yet

    eventually(is_written)
    page = urlsplit(portals[1]["apps"]["guestbook"]["page"])
    told = _asked(f"127.0.0.1:{page.port}", "GET", "/public/", host=page.netloc)
    assert "Ada wrote: Hello!" in told


def _asked(where: str, method: str, path: str, *, host: str = "", body: str | None = None) -> str:
    connection = http.client.HTTPConnection(where, timeout=PATIENCE)
    try:
        connection.request(method, path, body, {"Host": host or where})
        return connection.getresponse().read().decode()
    finally:
        connection.close()
