"""``terminals add --token``: a device that is no browser gets a token, for one app, once."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.terminals.device_token import shown_device_token
from proxy.core.terminals.terminals import token_digest
from proxy.state.schema import VERSION, check_version
from proxy.state.terminals import TerminalStore

if TYPE_CHECKING:
    from tests.cli.conftest import Home

ADD = ("terminals", "add", "--token", "--app")


def store_of(home: Home) -> TerminalStore:
    return TerminalStore(home.state / "terminals.yaml")


def allow(home: Home, app: str = "files") -> None:
    (home.config / "apps" / app / "proxy.yaml").write_text("device_tokens: true\n")


def added(home: Home, *words: str) -> dict[str, Any]:
    outcome = home.call(*ADD, "files", *words, "--json")
    assert (outcome.status, outcome.stderr) == (0, "")
    return dict(json.loads(outcome.stdout))


@pytest.fixture
def adas(ada_with_apps: Home) -> Home:
    """Ada's Portal, whose app ``files`` takes tokens."""
    allow(ada_with_apps)
    return ada_with_apps


def test_the_token_is_printed_once_with_how_to_use_it(adas: Home) -> None:
    outcome = adas.run(*ADD, "files", "--name", "Phone's DAV")
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    token = lines[0].removeprefix("Token      ")
    assert shown_device_token([(b"authorization", b"Bearer " + token.encode())]) == token.encode()
    [terminal] = store_of(adas).load().terminals
    host = f"files.{adas.own_id()[:6]}.p.getportal.org"
    assert lines[1:] == [
        f"Device     Phone's DAV, {terminal.id}",
        f"Address    https://{host}/",
        f"User       {terminal.id}, or anything else",
        "The token is the password. It is shown this once, and kept nowhere.",
        f"curl       curl --user {terminal.id} https://{host}/",
        f"git        git clone https://{terminal.id}@{host}/REPOSITORY",
        "Programs   Authorization: Bearer TOKEN",
    ]
    assert (terminal.name, terminal.app) == ("Phone's DAV", "files")
    assert terminal.token_sha256 == token_digest(token.encode())
    assert abs(terminal.paired - time.time()) < 600
    for file in adas.path.rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes()
    assert check_version(adas.state) == VERSION


def test_for_scripts_it_is_json(adas: Home) -> None:
    told = added(adas)
    assert told == {
        "id": told["id"],
        "name": "Device of files",
        "app": "files",
        "url": f"https://files.{adas.own_id()[:6]}.p.getportal.org/",
        "user": told["id"],
        "token": told["token"],
        "accepted": True,
    }
    assert added(adas, "--name", "Other")["token"] != told["token"]
    listed = json.loads(adas.call("terminals", "list", "--json").stdout)
    assert [(each["name"], each["app"]) for each in listed] == [
        ("Device of files", "files"), ("Other", "files"),
    ]  # fmt: skip
    assert "token" not in listed[0]


def test_where_the_app_takes_none_yet_the_line_to_write_is_told(ada_with_apps: Home) -> None:
    ada = ada_with_apps
    outcome = ada.call(*ADD, "files")
    assert outcome.status == 0
    assert outcome.reason.startswith("files takes no token yet: write the line device_tokens: true")
    assert outcome.reason.endswith("apps/files/proxy.yaml")
    assert json.loads(ada.call(*ADD, "files", "--json").stdout)["accepted"] is False
    warnings = json.loads(ada.call("check", "--json").stdout)["warnings"]
    what = "the token of Device of files is for files, whose proxy.yaml doesn't say device_tokens"
    assert len([each for each in warnings if what in each["what"]]) == 2
    allow(ada)
    assert "device_tokens" not in ada.call("check").stdout


def test_check_tells_of_a_token_whose_app_is_gone(adas: Home) -> None:
    added(adas)
    (adas.config / "apps" / "files").rename(adas.path / "aside")
    told = adas.call("check").stdout
    assert "the token of Device of files is for files, and there is no app of this name" in told


def test_over_plain_http_the_owner_is_told_where_it_is_good(adas: Home) -> None:
    path = adas.config / "portal.yaml"
    path.write_text(path.read_text().replace("public_url: https:", "public_url: http:"))
    outcome = adas.call(*ADD, "files")
    assert outcome.status == 0
    assert "good on this machine alone" in outcome.reason


@pytest.mark.parametrize("qr", ["--qr", "--no-qr"])
def test_a_qr_code_is_drawn_where_it_is_asked_for(adas: Home, qr: str) -> None:
    shown = adas.call(*ADD, "files", qr).stdout
    assert ("\u2588" in shown) is (qr == "--qr")


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("add",), 2, "say what for"),
        (("add", "--token"), 2, "say what for"),
        (("add", "--app", "files"), 2, "to make a browser yours: portal-proxy terminals pair"),
        (("add", "--token", "--app", "file"), 1, "there is no app 'file'; did you mean files?"),
        (("add", "--token", "--app", "../files"), 1, "there is no app"),
        (("add", "--token", "--app", "FILES"), 1, "did you mean files?"),
        (("add", "--token", "--app", "files", "--name", "a\nb"), 1, "can't be used"),
        (("add", "--token", "--app", "files", "--name", "x" * 65), 1, "at most 64"),
        (("add", "--token", "--app", "files", "--name", " "), 1, "can't be used"),
        (("add", "--token", "--app", "files", "x"), 2, ""),
    ],
)
def test_what_cant_be_meant_makes_no_token(
    adas: Home, words: tuple[str, ...], status: int, reason: str
) -> None:
    outcome = adas.call("terminals", *words)
    assert (outcome.status, outcome.stdout) == (status, "")
    assert reason in outcome.stderr
    assert not (adas.state / "terminals.yaml").exists()


def test_with_one_name_no_device_comes_to_an_app(adas: Home) -> None:
    path = adas.config / "portal.yaml"
    text = re.sub(r"(?m)^# app_hosts: false$", "app_hosts: false", path.read_text())
    path.write_text(text)
    outcome = adas.call(*ADD, "files")
    assert outcome.status == 1
    assert "app_hosts is false" in outcome.reason
    assert not (adas.state / "terminals.yaml").exists()


def test_it_is_listed_renamed_and_removed_as_every_terminal_is(adas: Home) -> None:
    told = added(adas, "--name", "Calendar")
    shown = adas.call("terminals", "list").stdout.splitlines()
    assert shown[0] == f"Calendar  {told['id']}"
    assert shown[1] == "  token    for files alone"
    assert [line.split()[0] for line in shown[2:]] == ["made", "seen"]
    assert adas.call("terminals", "rename", told["id"], "Kalender").status == 0
    [renamed] = store_of(adas).load().terminals
    assert (renamed.name, renamed.app) == ("Kalender", "files")
    assert (
        adas.call("terminals", "remove", told["id"]).stdout == f"Removed Kalender, {told['id']}\n"
    )
    assert store_of(adas).load().terminals == ()


def test_a_broken_list_is_never_overwritten(adas: Home) -> None:
    (adas.state / "terminals.yaml").write_text("v: 3\n")
    outcome = adas.call(*ADD, "files")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert (adas.state / "terminals.yaml").read_text() == "v: 3\n"
