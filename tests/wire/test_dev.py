"""``portal-proxy dev`` as it runs: from the command to a sealed call, and to nothing left of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import environment
from tests.wire.harness.raw import LOOPBACK, response
from tests.wire.harness.recorder import Recorder, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """\
import http.server, json, os, sys
names = ("PORT", "HTTP_PROXY", "PORTAL_TOKEN", "PORTAL_CORE_URL", "NO_PROXY")
print("\\x1b[32mstarted", json.dumps({name: os.environ[name] for name in names}), flush=True)
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler)
server.handle_request()
"""


class Dev:
    """The command as a process, and what it has printed."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "proxy", "dev", "--json", *words],
            cwd=folder,
            # What is meant for another Portal must change none of these.
            env={**environment(), "TMPDIR": str(folder), "PORTAL_NAME": "Zoe"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._reader.join(PATIENCE)

    def event(self, **members: object) -> dict[str, Any]:
        """Wait for an event with these members, and return it."""

        def is_there() -> bool:
            if any(members.items() <= event.items() for event in self.events):
                return True
            assert self.process.poll() is None, (self.events, self.process.communicate())
            return False

        eventually(is_there)
        return next(event for event in self.events if members.items() <= event.items())

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def portals(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.event(event="ready")["portals"]
        return found

    def children(self) -> list[int]:
        """Return the processes that it has started."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return [int(number) for number in text.split()]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))


def call(portal: dict[str, Any], url: str) -> tuple[int, bytes]:
    """Call as the app at this Portal does, in the environment that it was given."""
    variables = portal["apps"]["chat"]["environment"]
    handler = urllib.request.ProxyHandler({"http": variables["http_proxy"]})
    try:
        with urllib.request.build_opener(handler).open(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def visit(
    url: str, method: str = "GET", body: bytes | None = None, **fields: str
) -> tuple[int, dict[str, str]]:
    """Ask as a browser does that finds the host on this machine."""
    split = urlsplit(url)
    connection = http.client.HTTPConnection(LOOPBACK, split.port or 80, timeout=PATIENCE)
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    try:
        target = split.path + (f"?{split.query}" if split.query else "")
        connection.request(method, target, body, {"Host": split.netloc, **named})
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def is_running(number: int) -> bool:
    """Tell whether a process is there, and is more than an entry that nobody has taken away."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def bobs() -> Iterator[Recorder]:
    with Recorder() as recorder:
        recorder.script(response(200, body=b"of Bob"))
        yield recorder


@pytest.fixture(scope="module")
def running(bobs: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """Two Portals; Bob's app is there, and Ada's isn't yet."""
    folder = tmp_path_factory.mktemp("dev")
    (folder / "app.json").write_text(
        '{"v": "3.2", "paths": {"": {"access": "private"}, "/peer/": {"access": "peer"}}}', "ascii"
    )
    # Something that a developer has lying about must not be taken for the program.
    (folder / "proxy").mkdir()
    (folder / "proxy" / "__init__.py").write_text("raise SystemExit('not this one')", "ascii")
    with Dev(folder, "--app", f"chat=http://{LOOPBACK}:9,http://{LOOPBACK}:{bobs.port}") as dev:
        dev.event(event="ready")
        yield dev


def test_a_call_reaches_the_other_portal_sealed_and_is_told_as_one(
    running: Dev, bobs: Recorder
) -> None:
    ada, bob = running.portals()
    bobs.clear()
    bobs.script(response(200, body=b"of Bob"))
    by_id = f"http://portal_core/internal/call_peer/{bob['id']}/peer/one"
    assert call(ada, by_id) == (200, b"of Bob")
    assert call(ada, f"{bob['apps']['chat']['page']}peer/two") == (200, b"of Bob")
    assert [request.one("x-ptl-client-name") for request in bobs.requests] == [b"Ada", b"Ada"]
    for path in ("/peer/one", "/peer/two"):
        told = running.event(event="call", path=path)
        assert (told["from"], told["to"], told["app"]) == ("Ada", "Bob", "chat")
        assert (told["status"], told["mode"]) == (200, "sealed")


def test_a_refused_call_is_told_with_the_reason(running: Dev) -> None:
    ada, bob = running.portals()
    by_id = f"http://portal_core/internal/call_peer/{bob['id'][:6]}/mine"
    assert call(ada, by_id)[0] == 403
    told = running.event(event="call", path="/mine")
    assert told["code"] == "not_allowed"
    assert "private" in told["detail"]


def test_an_app_that_isnt_there_yet_is_named(running: Dev) -> None:
    missing = running.event(event="app", state="missing")
    assert missing["at"] == "Ada's chat"
    ada, bob = running.portals()
    by_id = f"http://portal_core/internal/call_peer/{ada['id']}/peer/"
    assert call(bob, by_id)[0] == 502
    assert running.event(event="call", to="Ada")["code"] == "app_unreachable"


def test_the_link_makes_a_browser_the_owners(running: Dev) -> None:
    bob = running.portals()[1]
    page = bob["apps"]["chat"]["page"]
    assert visit(page, Accept="text/html")[0] == 303
    link = urlsplit(bob["pairing_link"])
    (back,) = parse_qs(link.query)["to"]
    form = {"code": link.fragment.removeprefix("code="), "name": "Here", "to": back}
    status, fields = visit(
        f"{bob['origin']}{link.path}", "POST", urlencode(form).encode(), Origin=bob["origin"],
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert (status, fields["location"]) == (303, page)
    cookie = fields["set-cookie"].partition(";")[0]
    assert visit(page, Cookie=cookie)[0] == 200


def test_the_app_json_is_followed_and_what_is_wrong_with_it_told(running: Dev) -> None:
    page = running.portals()[1]["apps"]["chat"]["page"]
    app_json = running.folder / "app.json"
    right = app_json.read_text("ascii")
    try:
        app_json.write_text(right.replace("private", "pivate"), "ascii")
        told = running.event(event="message", level="error")["message"]
        assert f"{app_json}: paths.''.access" in told
        app_json.write_text(right.replace("private", "public"), "ascii")
        eventually(lambda: visit(page)[0] == 200)
    finally:
        app_json.write_text(right, "ascii")
        eventually(lambda: visit(page)[0] == 401)


def test_at_its_end_nothing_is_left(tmp_path: Path) -> None:
    with Dev(tmp_path, "--app", "chat=7,9") as dev:
        folder = Path(dev.event(event="ready")["folder"])
        children = dev.children()
        assert folder.parent == tmp_path
        assert len(children) == 2
        assert dev.end(signal.SIGINT) == 0
        assert not any(map(is_running, children))
    assert list(tmp_path.iterdir()) == []


def test_where_a_proxy_ends_all_ends_and_says_so(tmp_path: Path) -> None:
    with Dev(tmp_path, "--app", "chat=7,9") as dev:
        dev.event(event="ready")
        ada, bob = dev.children()
        os.kill(ada, signal.SIGKILL)
        assert dev.process.wait(PATIENCE) == 1
        assert dev.process.stderr is not None
        assert b"proxy has ended" in dev.process.stderr.read()
        assert not is_running(bob)
    assert list(tmp_path.iterdir()) == []


def test_it_runs_the_app_for_each_portal_and_leaves_nothing_even_if_it_is_killed(
    tmp_path: Path,
) -> None:
    script = tmp_path / "app.py"
    script.write_text(APP, "ascii")
    with Recorder() as one, Recorder() as other:
        ports = [str(each.port) for each in (one, other)]
    words = ["--app", f"chat={','.join(ports)}", "--keep", "kept", "--"]
    with Dev(tmp_path, *words, sys.executable, "app.py", "{port}") as dev:
        portals = dev.portals()
        for portal, port in zip(portals, ports, strict=True):
            text = dev.event(event="output", at=f"{portal['name']}'s chat")["text"]
            given = json.loads(text.partition("started ")[2])
            expected = portal["apps"]["chat"]["environment"]
            assert given == {"PORT": port, **{k: expected[k] for k in given if k != "PORT"}}
        children = dev.children()
        assert len(children) == 4
        dev.process.kill()
        eventually(lambda: not any(map(is_running, children)))
    assert Path(dev.event(event="ready")["folder"]) == tmp_path / "kept"
