"""``terminals pair|list|rename|remove``, and what ``check`` and ``serve`` say of their files."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import segno

from proxy.cli.qr import qr_lines
from proxy.core.terminals.pairing_code import CODE_LIFETIME
from proxy.core.terminals.terminals import LIFETIME, Terminal, TerminalList, token_digest
from proxy.state.terminals import PairingStore, TerminalStore
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Home

NOW = int(time.time())
PHONE = Terminal("abc123", "Phone", token_digest(b"phone"), NOW - 1000, NOW - 60)
OLD = Terminal("123456", "Old", token_digest(b"old"), NOW - LIFETIME - 10, NOW - LIFETIME - 5)


def store_of(home: Home) -> TerminalStore:
    return TerminalStore(home.state / "terminals.yaml")


def redeem(home: Home, code: str, name: str = "Laptop") -> Terminal:
    store = PairingStore(home.state / "pairing.yaml", store_of(home))
    return store.redeem(code, "203.0.113.7", name, time.time())[0]


@pytest.fixture
def adas(ada: Home) -> Home:
    """Ada's Portal with a phone, and a device that wasn't used for long."""
    store_of(ada).change(lambda _: TerminalList((PHONE, OLD)))
    return ada


def test_a_code_is_printed_that_pairs_a_device_once(ada: Home) -> None:
    outcome = ada.run("terminals", "pair")
    assert (outcome.status, outcome.stderr) == (0, "")
    page = f"https://{ada.own_id()[:6]}.p.getportal.org/core/public/pair"
    code, shown_page, link, until = outcome.stdout.splitlines()
    typed = code.removeprefix("Code       ")
    assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}", typed)
    assert shown_page == f"Page       {page}"
    in_link = link.removeprefix(f"Link       {page}#code=")
    assert re.fullmatch(r"[0-9A-Z]{26}", in_link)
    assert re.fullmatch(r"Good once, until [0-9: -]+ UTC\.", until)
    terminal = redeem(ada, typed)
    assert store_of(ada).load().terminals == (terminal,)


def test_each_time_it_is_another_code_and_all_are_good(ada: Home) -> None:
    now = int(time.time())
    codes = [json.loads(ada.call("terminals", "pair", "--json").stdout) for _ in range(3)]
    assert len({each["code"] for each in codes}) == 3
    for each in codes:
        assert re.fullmatch(re.escape(each["page"]) + "#code=[0-9A-Z]{26}", each["link"])
        assert 0 <= each["until"] - CODE_LIFETIME - now < 600
    for each, form in zip(codes, ("code", "link", "link"), strict=True):
        redeem(ada, each[form].partition("#code=")[2] or each[form])


def test_a_code_is_in_no_file(ada: Home) -> None:
    given = json.loads(ada.call("terminals", "pair", "--json").stdout)
    codes = (given["code"].replace("-", ""), given["link"].partition("#code=")[2])
    for file in ada.path.rglob("*"):
        for code in codes:
            assert not file.is_file() or code.encode() not in file.read_bytes()


def test_over_plain_http_the_owner_is_warned(ada: Home) -> None:
    path = ada.config / "portal.yaml"
    path.write_text(path.read_text().replace("public_url: https:", "public_url: http:"))
    outcome = ada.call("terminals", "pair")
    assert outcome.status == 0
    assert "plain http" in outcome.reason
    assert "\nLink       http://" in outcome.stdout


def test_no_code_is_given_out_where_no_terminal_could_be_made(ada: Home) -> None:
    (ada.state / "terminals.yaml").write_text("v: 3\n")
    outcome = ada.call("terminals", "pair")
    assert outcome.status == 1
    assert outcome.stdout == ""
    assert "terminals.yaml" in outcome.stderr
    assert not (ada.state / "pairing.yaml").exists()


# The QR code


def modules(lines: list[str]) -> list[list[bool]]:
    """Return the modules that lines of half blocks draw."""
    drawn = {" ": (False, False), "\u2580": (True, False), "\u2584": (False, True)}
    pairs = [[drawn.get(character, (True, True)) for character in line] for line in lines]
    return [[pair[half] for pair in row] for row in pairs for half in (0, 1)]


def test_the_drawing_is_the_code_with_its_quiet_zone() -> None:
    link = "https://8271dd.p.getportal.org/core/public/pair#code=ABCD2345"
    drawn = modules(qr_lines(link))
    code = [[bool(module) for module in row] for row in segno.make_qr(link, error="m").matrix]
    assert [row[4:-4] for row in drawn[4 : 4 + len(code)]] == code
    quiet = [*drawn[:4], *drawn[4 + len(code) :], *(row[:4] + row[-4:] for row in drawn)]
    assert not any(any(row) for row in quiet)


def test_a_script_gets_no_qr_code_unless_it_asks(ada: Home) -> None:
    assert len(ada.run("terminals", "pair").stdout.splitlines()) == 4
    drawn = ada.run("terminals", "pair", "--qr", PYTHONUTF8="1").stdout.splitlines()[4:]
    assert len(drawn) > 15
    assert not any(modules(drawn)[0])
    assert "\x1b" not in "".join(drawn)


def test_a_person_at_a_terminal_gets_one_black_on_white(ada: Home) -> None:
    assert "\x1b[30;107m" in at_terminal(ada, "terminals", "pair")
    assert "\x1b" not in at_terminal(ada, "terminals", "pair", "--no-qr")
    assert "\x1b" not in at_terminal(ada, "terminals", "pair", "--json")


def test_what_cant_be_drawn_isnt_drawn(ada: Home) -> None:
    plain = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    outcome = ada.run("terminals", "pair", "--qr", **plain)
    assert outcome.status == 1
    assert "no QR code" in outcome.reason
    assert "Code " in outcome.stdout


def at_terminal(home: Home, *words: str) -> str:
    """Run a command whose stdout is a terminal, and return what that shows."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *words],
        cwd=home.path,
        env=home._environment({"PYTHONUTF8": "1"}),
        stdout=theirs,
        check=True,
        timeout=PATIENCE,
    )
    os.close(theirs)
    assert done.returncode == 0
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # what Linux says at a terminal's end
        pass
    os.close(ours)
    return shown.decode()


# The list


def test_the_list_shows_who_was_seen_when(adas: Home) -> None:
    outcome = adas.call("terminals", "list")
    assert outcome.status == 0
    lines = outcome.stdout.splitlines()
    assert [lines[0], lines[3]] == ["Phone  abc123", "Old  123456"]
    assert lines[1].startswith("  paired   20")
    assert lines[2].startswith("  seen     20")
    assert "expired" not in lines[2]
    assert lines[5].endswith(" UTC (expired)")


def test_the_list_for_scripts(adas: Home) -> None:
    assert json.loads(adas.call("terminals", "list", "--json").stdout) == [
        {
            "id": "abc123",
            "name": "Phone",
            "paired": PHONE.paired,
            "seen": PHONE.seen,
            "expired": False,
        },
        {"id": "123456", "name": "Old", "paired": OLD.paired, "seen": OLD.seen, "expired": True},
    ]


def test_without_terminals_the_way_to_one_is_shown(ada: Home) -> None:
    outcome = ada.call("terminals", "list")
    assert (outcome.status, outcome.stdout) == (0, "")
    assert "portal-proxy terminals pair" in outcome.reason
    assert ada.call("terminals", "list", "--json").stdout == "[]\n"


def test_a_removed_terminal_is_gone_and_no_other(adas: Home) -> None:
    assert adas.call("terminals", "remove", "abc123").stdout == "Removed Phone, abc123\n"
    assert store_of(adas).load().terminals == (OLD,)
    outcome = adas.call("terminals", "remove", "abc123")
    assert outcome.status == 1
    assert "no terminal has the ID 'abc123'" in outcome.reason


def test_a_renamed_terminal_keeps_everything_else(adas: Home) -> None:
    assert adas.call("terminals", "rename", "abc123", "Telefon").status == 0
    renamed = store_of(adas).load().find("abc123")
    assert renamed == Terminal("abc123", "Telefon", PHONE.token_sha256, PHONE.paired, PHONE.seen)


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "a\u202eb", "\u200b", "\x1b[31m"])
def test_a_name_that_could_deceive_is_refused(adas: Home, name: str) -> None:
    outcome = adas.call("terminals", "rename", "abc123", name)
    assert outcome.status == 1
    assert "can't be used" in outcome.reason
    assert outcome.reason.isprintable()
    assert store_of(adas).load().find("abc123") == PHONE


@pytest.mark.parametrize("verb", [["remove"], ["rename"]])
@pytest.mark.parametrize(
    "text",
    ["", "abc12", "abc1234", "ABC123", "%", "_", "%25", "../x", "zzzzzz", "\x1b[2J", "Phone"],
)
def test_what_is_no_terminals_id_changes_nothing(adas: Home, verb: list[str], text: str) -> None:
    name = ["Name"] if verb == ["rename"] else []
    outcome = adas.call("terminals", *verb, text, *name)
    assert outcome.status == 1
    assert outcome.reason.isprintable()
    if text == "Phone":
        assert "is the name of abc123" in outcome.reason
    assert store_of(adas).load().terminals == (PHONE, OLD)


def test_a_command_line_that_cant_be_meant(adas: Home) -> None:
    for words in (["remove"], ["rename", "abc123"], ["pair", "x"], ["revoke", "abc123"], []):
        assert adas.call("terminals", *words).status == 2


# check and serve


def spoilt(home: Home, file: str, fault: str) -> Path:
    path = home.state / file
    if fault == "readable":
        path.chmod(0o644)
    elif fault == "link":
        path.rename(path.with_name("aside"))
        path.symlink_to(path.with_name("aside"))
    else:
        path.write_text(fault)
    return path


@pytest.mark.parametrize("file", ["terminals.yaml", "pairing.yaml"])
@pytest.mark.parametrize("fault", ["", "{", "v: 3\nterminals: []\n", "readable", "link"])
def test_check_tells_of_a_broken_file(adas: Home, file: str, fault: str) -> None:
    adas.call("terminals", "pair")
    assert adas.call("check").status == 0
    path = spoilt(adas, file, fault)
    outcome = adas.call("check")
    assert outcome.status == 1
    assert f"problem: {path}" in outcome.stdout


def test_check_finds_nothing_wrong_with_no_terminals(ada: Home) -> None:
    assert not (ada.state / "terminals.yaml").exists()
    assert ada.call("check").status == 0
    assert not (ada.state / "terminals.yaml").exists()


def test_a_proxy_doesnt_start_with_a_broken_list_of_terminals(adas: Home) -> None:
    spoilt(adas, "terminals.yaml", "v: 0\n")
    outcome = adas.call("serve")
    assert outcome.status == 1
    assert "terminals.yaml" in outcome.stderr
    assert "not started" in outcome.stderr


def test_no_command_overwrites_a_broken_list(adas: Home) -> None:
    path = spoilt(adas, "terminals.yaml", "v: 3\n")
    for words in (["remove", "abc123"], ["rename", "abc123", "x"], ["pair"], ["list"]):
        assert adas.call("terminals", *words).status == 1
    assert path.read_text() == "v: 3\n"
