"""What holds for every command: its folder, its help, its exit status, what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.cli.output import printable

if TYPE_CHECKING:
    from tests.cli.conftest import Home

COMMANDS = [
    "init", "serve", "check", "health", "id",
    "peers list", "peers add", "peers remove", "peers rename", "peers edit",
    "apps list", "apps allow", "apps token", "call", "ping",
    "terminals pair", "terminals list", "terminals rename", "terminals remove",
]  # fmt: skip


def two_portals(home: Home) -> None:
    for name in ("ada", "bob"):
        folder = home.path / name / "config"
        words = ["init", "--config", str(folder), "--name", name, "--domain", "a.test"]
        assert home.call(*words).status == 0


def test_the_folder_may_stand_before_the_command_or_behind_it(home: Home) -> None:
    two_portals(home)
    before = home.run("--config", "ada/config", "id")
    behind = home.run("id", "--config", "ada/config")
    assert before.status == 0
    assert before.stdout == behind.stdout


def test_the_folder_may_stand_anywhere_around_a_group(home: Home) -> None:
    two_portals(home)
    for words in (
        ["--config", "ada/config", "peers", "list"],
        ["peers", "list", "--config", "ada/config"],
    ):
        assert home.run(*words).status == 0
    assert home.run("peers", "list").status == 1


def test_the_folder_behind_the_command_counts_most_and_the_environment_least(home: Home) -> None:
    two_portals(home)
    ada, bob = (home.run("id", "--config", f"{name}/config").stdout for name in ("ada", "bob"))
    assert ada != bob
    assert home.run("id", PORTAL_CONFIG="bob/config").stdout == bob
    assert home.run("--config", "ada/config", "id", PORTAL_CONFIG="bob/config").stdout == ada
    assert home.run("id", "--config", "ada/config", PORTAL_CONFIG="bob/config").stdout == ada
    assert home.run("--config", "bob/config", "id", "--config", "ada/config").stdout == ada


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(home: Home, command: str) -> None:
    outcome = home.call(*command.split(), "--help")
    assert outcome.status == 0
    assert f"portal-proxy {command}" in outcome.stdout.partition("For example:")[2]
    assert max(map(len, outcome.stdout.splitlines())) <= 90


def test_without_a_command_the_help_is_shown_and_the_status_is_2(home: Home) -> None:
    outcome = home.run()
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "init" in outcome.stderr


@pytest.mark.parametrize(
    "words",
    [["srve"], ["serve", "--nonsense"], ["peers"], ["peers", "add"], ["apps", "allow", "x"],
     ["id", "extra"], ["peers", "add", "b8rk3f", "--mode", "plain"]],
)  # fmt: skip
def test_a_wrong_command_line_is_status_2_and_one_line(home: Home, words: list[str]) -> None:
    outcome = home.call(*words)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "--help" in outcome.reason


def test_a_mistyped_command_is_guessed(home: Home) -> None:
    assert "Did you mean 'serve'" in home.call("srve").reason


@pytest.mark.parametrize(
    "words",
    [["\x1b]0;x\x07"], ["id", "a\x1b[2Jb"], ["id", "--\x1b[2J"], ["peers", "add", "x\x1b[2J"],
     ["peers", "remove", "\u202e8271dd"], ["apps", "token", "a\x1b[31m"],
     ["id", "--config", "\x1b[2J"]],
)  # fmt: skip
def test_nothing_typed_reaches_the_terminal_with_control_characters(
    ada: Home, words: list[str]
) -> None:
    outcome = ada.call(*words)
    assert outcome.status in {1, 2}
    assert outcome.reason.isprintable()


def test_a_name_that_the_terminal_cannot_show_is_shown_escaped(home: Home) -> None:
    home.run("init", "--name", "Ada", "--domain", "a.test")
    added = home.run("peers", "add", "8271dd" + "a" * 97, "--name", "Zoë", PYTHONIOENCODING="ascii")
    listed = home.run("peers", "list", PYTHONIOENCODING="ascii")
    assert (added.status, listed.status) == (0, 0)
    assert "Zo\\xeb" in listed.stdout


def test_an_argument_that_is_no_text_is_refused_without_a_traceback(ada: Home) -> None:
    outcome = ada.run("peers", "remove", "\udcff\udcfe")
    assert outcome.status == 1
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    "unfit", ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u200b", "\udcff"]
)
def test_printable_escapes_what_a_terminal_acts_on(unfit: str) -> None:
    assert printable(f"a{unfit}b").isprintable()
    assert printable(f"a{unfit}b") != "ab"


def test_printable_leaves_text_as_it_is() -> None:
    assert printable("Zoë 你好 (50%) \\") == "Zoë 你好 (50%) \\"
