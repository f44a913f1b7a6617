"""``health`` where all is as usual: what it costs, and that it says nothing else than the command.

Whatever isn't usual is left to the command itself (``test_health.py``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proxy.server import quick_health
from proxy.server.quick_health import Wanted, read_words, state_in
from proxy.state.layout import State
from proxy.state.running_note import NotedListener, note_running
from tests.cli.test_health import answering, at, health_of, listen, speak_tls, tcp, unix
from tests.cli.test_serve import quiet, running
from tests.wire.harness.portals import environment
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator

    from tests.cli.conftest import Home, Outcome

__all__ = ["quiet"]

HTTP = b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n"
LARGE = {"typer", "pydantic", "yaml", "asyncio", "cryptography", "dataclasses", "ssl", "logging"}
RUNS = 9
MOST = 3
"""How many times the CPU of an interpreter that does nothing it may need."""

_MODULES = """
import sys
from proxy.__main__ import main
sys.argv[1:] = ["health"]
try:
    main()
except SystemExit as end:
    print(end.code, *sys.modules)
"""


def cpu(command: list[str], home: Home) -> float:
    """Return the seconds of CPU that a command takes at least."""
    found = []
    for _ in range(RUNS):
        process = subprocess.Popen(
            command, cwd=home.path, env=environment(), stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        found.append(used.ru_utime + used.ru_stime)
    return min(found)


@pytest.fixture
def noted(quiet: Home) -> Iterator[Home]:
    """A Portal that runs, and has noted where."""
    with running(quiet):
        eventually(State(quiet.state).running_note.exists)
        yield quiet


def test_it_costs_at_most_three_times_an_interpreter_that_does_nothing(noted: Home) -> None:
    nothing = cpu([sys.executable, "-c", "pass"], noted)
    assert cpu([sys.executable, "-m", "proxy", "health"], noted) <= MOST * nothing


def test_nothing_large_is_imported(noted: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MODULES], cwd=noted.path, env=environment(), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    *lines, last = done.stdout.splitlines()
    assert len(lines) == 3
    status, *modules = last.split()
    assert status == "0"
    assert LARGE.isdisjoint(modules)


@pytest.mark.parametrize("words", [["health"], ["health", "--json"]])
def test_a_real_proxy_gets_the_same_words(noted: Home, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *words], cwd=noted.path, env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    usual = noted.run(*words)
    assert (done.returncode, done.stdout, done.stderr) == tuple(vars(usual).values())
    (noted.config / "apps" / "guestbook" / "app.json").write_text("{")
    eventually(lambda: noted.run("health").status == 1)
    assert quick(noted, *words) == 1


def quick(home: Home, *words: str, **variables: str) -> int | None:
    return quick_health.quick_health([*words], {"PORTAL_CONFIG": str(home.config), **variables})


def note(home: Home, sockets: list[socket.socket], *, tls: bool = False) -> None:
    """Write the note of a proxy that listens at these."""
    listeners = []
    for name, each in zip(("public", "apps", "owner"), sockets, strict=True):
        bound = each.getsockname()
        where = bound if isinstance(bound, str) else bound[:2]
        shown = f"unix:{where}" if isinstance(where, str) else "{}:{}".format(*where)
        is_tls = tls and name == "public"
        listeners.append(NotedListener(name, shown, where, is_tls, "localhost"))
    note_running(State(home.state).running_note, home.own_id(), home.config, listeners)


@pytest.fixture
def served(ada: Home, request: pytest.FixtureRequest) -> Iterator[Home]:
    """Listeners of this test's, which a note names; ``request.param`` is what the owner's says."""
    said = getattr(request, "param", None)
    yield from serve(ada, health_of(ada) if said is None else said)


def serve(ada: Home, said: bytes, *, tls: ssl.SSLContext | None = None) -> Iterator[Home]:
    public, apps, path = tcp(), tcp(), ada.path / "owner.sock"
    owner = unix(path)
    listen(ada, at(public), at(apps), f"unix:{path}")
    note(ada, [public, apps, owner], tls=tls is not None)
    with answering(public, HTTP, tls=tls), answering(apps, HTTP), answering(owner, said):
        yield ada


def outcome(home: Home, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, ...]:
    """Return what the quick one does, in the form of what the command does."""
    capsys.readouterr()
    status = quick(home, *words)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def as_tuple(outcome: Outcome) -> tuple[object, ...]:
    return outcome.status, outcome.stdout, outcome.stderr


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"status": "degraded", "problems": ["state: full", "b: c"]},
        {"status": "degraded"},
        {"status": "odd"},
    ],
)
def test_it_says_what_the_command_says(
    ada: Home, capsys: pytest.CaptureFixture[str], said: dict[str, object]
) -> None:
    for home in serve(ada, health_of(ada, **said)):
        for words in (["health"], ["health", "--json"]):
            usual = as_tuple(home.call(*words))
            assert outcome(home, capsys, *words) == usual


@pytest.mark.parametrize(
    "response",
    [
        HTTP,
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 21),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
    ],
)
def test_an_odd_answer_is_left_to_the_command(ada: Home, response: bytes) -> None:
    for home in serve(ada, response):
        assert quick(home, "health") is None


def test_what_cant_be_shown_as_it_is_is_left_to_the_command(ada: Home) -> None:
    said = health_of(ada, status="degraded", problems=["\x1b[31m"])
    for home in serve(ada, said):
        assert quick(home, "health") is None


def test_another_portals_answer_is_left_to_the_command(ada: Home) -> None:
    for home in serve(ada, health_of(ada, id="z" * 103)):
        assert quick(home, "health") is None


def test_with_tls_any_certificate_will_do(ada: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for home in serve(ada, health_of(ada), tls=speak_tls(ada)):
        assert outcome(home, capsys, "health")[0] == 0


def test_a_listener_that_isnt_there_is_left_to_the_command(ada: Home) -> None:
    gone, apps, owner = tcp(), tcp(), tcp()
    note(ada, [gone, apps, owner])
    gone.close()
    with answering(apps, HTTP), answering(owner, health_of(ada)):
        assert quick(ada, "health") is None


def test_a_listener_that_doesnt_answer_is_left_to_the_command(
    ada: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_health, "TIMEOUT", 0.2)
    deaf, apps, owner = tcp(), tcp(), tcp()
    note(ada, [deaf, apps, owner])
    with deaf, answering(apps, HTTP), answering(owner, health_of(ada)):
        assert quick(ada, "health") is None


def test_a_note_that_isnt_this_proxys_is_left_to_the_command(served: Home) -> None:
    path = State(served.state).running_note
    text = path.read_text()
    assert quick(served, "health") == 0
    path.chmod(0o666)
    assert quick(served, "health") is None
    path.chmod(0o600)
    others: list[dict[str, object]] = [
        {"v": "2"}, {"folder": "/elsewhere"}, {"listeners": []}, {"id": "other"},
    ]  # fmt: skip
    for changes in others:
        path.write_text(json.dumps({**json.loads(text), **changes}))
        assert quick(served, "health") is None
    for broken in ("", "{", "[]", "1", "null", '{"v": "1"}'):
        path.write_text(broken)
        assert quick(served, "health") is None
    path.unlink()
    path.symlink_to(served.path / "elsewhere")
    (served.path / "elsewhere").write_text(text)
    assert quick(served, "health") is None


def test_a_state_that_isnt_of_this_version_is_left_to_the_command(served: Home) -> None:
    path = State(served.state).schema
    known = path.read_text()
    for text in ('{"v": 4}', '{"v": 2}', '{"v": 1}', '{"v": "3"}', "{}", "", "3"):
        path.write_text(text)
        assert quick(served, "health") is None
    path.write_text(known)
    assert quick(served, "health") == 0
    path.unlink()
    assert quick(served, "health") == 0


def test_where_the_state_is_comes_from_portal_yaml_or_the_environment(served: Home) -> None:
    elsewhere = served.path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    State(served.state).running_note.rename(elsewhere / "running.json")
    assert quick(served, "health") is None
    assert quick(served, "health", PORTAL_STATE=str(elsewhere)) == 0
    yaml = served.config / "portal.yaml"
    text = yaml.read_text()
    yaml.write_text(text.replace("state: ../state", f"state: {elsewhere}  # here"))
    assert quick(served, "health") == 0
    yaml.unlink()
    assert quick(served, "health") is None


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["health"], Wanted("config", as_json=False)),
        (["health", "--json"], Wanted("config", as_json=True)),
        (["--config", "a", "health"], Wanted("a", as_json=False)),
        (["--config=a", "health", "--config", "b", "--json"], Wanted("b", as_json=True)),
        (["health", "--config=b"], Wanted("b", as_json=False)),
        (["health", "--help"], None),
        (["health", "health"], None),
        (["health", "--jso"], None),
        (["health", "--"], None),
        (["--json", "health"], None),
        (["health", "--config"], None),
        (["check"], None),
        ([], None),
    ],
)
def test_only_what_the_command_takes_is_taken(words: list[str], wanted: Wanted | None) -> None:
    if wanted is None:
        with pytest.raises(quick_health._Unusual):
            read_words(words, {})
    else:
        assert read_words(words, {}) == wanted


def test_an_option_in_the_environment_is_left_to_the_command() -> None:
    with pytest.raises(quick_health._Unusual):
        read_words(["health"], {"PORTAL_HEALTH_JSON": "1"})
    assert read_words(["health"], {"PORTAL_CONFIG": "c"}).folder == "c"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("name: Ada\n", "../state"),
        ("state: ../state\n", "../state"),
        ("name: Ada\nstate: /var/lib/portal-proxy\n", "/var/lib/portal-proxy"),
        ("state: '/a b'  # c\n", "/a b"),
        ('state: "~/x"\n', "~/x"),
        ("# state: a\nstate : b\n", "b"),
        ("name: Ada\n  state: x\n", "../state"),
        ("state: a\nstate: b\n", None),
        ("state:\n  a\n", None),
        ("state: &a b\n", None),
        ('state: "a\\x20"\n', None),
        ("state: |\n", None),
        ("state: {a: b}\n", None),
        ("stated: x\n", None),
    ],
)
def test_the_state_is_read_where_that_is_plain(text: str, state: str | None) -> None:
    if state is None:
        with pytest.raises(quick_health._Unusual):
            state_in(text.encode())
    else:
        assert state_in(text.encode()) == state
