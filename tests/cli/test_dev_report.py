"""What ``dev`` shows to a person and to a script, and that nobody else's bytes reach a terminal."""

import json
from pathlib import Path

import pytest

from proxy.cli.dev_apps import DevApp
from proxy.cli.dev_log import Event
from proxy.cli.dev_portals import held_ports, make_portals
from proxy.cli.dev_report import Report, is_coloured

CALL = Event(
    {"event": "call", "path": "/x"}, (("Ada -> Bob", "name"), ("", "good"), ("/x", "")), "y"
)
CHAT = DevApp("chat", ("http://127.0.0.1:3000", "http://127.0.0.1:3001"))


def test_a_line_is_coloured_where_that_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    Report(as_json=False, coloured=True).event(CALL)
    assert capsys.readouterr().out == "\x1b[1mAda -> Bob\x1b[0m/x\n\x1b[33m          y\x1b[0m\n"
    Report(as_json=False, coloured=False).event(CALL)
    assert capsys.readouterr().out == "Ada -> Bob/x\n          y\n"


def test_colours_are_for_a_terminal_and_for_those_who_want_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not is_coloured({})  # the tests' own stdout is none
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert is_coloured({"NO_COLOR": ""})
    assert not is_coloured({"NO_COLOR": "1"})
    assert not is_coloured({"TERM": "dumb"})


def test_a_script_gets_an_object_on_each_line_and_no_colours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report(as_json=True, coloured=True)
    report.event(CALL)
    report.output("Ada's chat", "gr\u00fc\u00df dich\x1b[31m")
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert [json.loads(line)["event"] for line in lines] == ["call", "output"]


def test_nothing_that_others_wrote_acts_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(as_json=False, coloured=True)
    report.output("Ada's chat", "\x1b[32mok\x1b[0m\t1\x1b]0;title\x07\r\x9b2J\u202e")
    report.event(Event({}, (("\x1b[2J", "bad"),), "\x07"))
    printed = capsys.readouterr().out
    for style in ("\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m"):
        printed = printed.replace(style, "")
    assert all(line.isprintable() for line in printed.split("\n"))
    assert "ok    1" in printed


def test_it_begins_with_all_that_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held_ports(None) as ports:
        portals = make_portals(tmp_path, [CHAT], ports)
    Report(as_json=False).ready(portals, [CHAT], tmp_path, "Ctrl-C ends them.")
    printed = capsys.readouterr().out
    assert printed.startswith("Two Portals run here, and know each other. Ctrl-C ends them.\n")
    assert str(tmp_path / "apps" / "chat" / "app.json") in printed
    for portal in portals:
        assert portal.id in printed
        assert portal.page("chat") in printed
        assert f". {portal.shell_file('chat')}" in printed
        assert f"{portal.files.config.public_origin(portal.id)}/core/public/pair?to=" in printed
        assert portal.environment("chat")["PORTAL_TOKEN"] not in printed
    bob = portals[1].page("chat").rpartition(":")[0]  # a tunnel to its port would be refused
    assert f"curl {bob}/peer/\n" in printed
    Report(as_json=True).ready(portals, [CHAT], tmp_path, "")
    (told,) = capsys.readouterr().out.splitlines()
    ready = json.loads(told)
    assert [portal["name"] for portal in ready["portals"]] == ["Ada", "Bob"]
    app = ready["portals"][0]["apps"]["chat"]
    assert app["environment"] == portals[0].environment("chat")
