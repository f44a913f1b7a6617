"""The program put together: with one command or with all, and never less than is meant."""

import json
import subprocess
import sys

import pytest
import typer
from typer.core import TyperGroup

from proxy.__main__ import _command
from proxy.cli.root import COMMANDS, with_commands
from tests.cli.conftest import Home
from tests.wire.harness.portals import environment

_SERVED_WITHOUT = (
    *("httpx", "rich", "pyrage", "segno", "prometheus_client", "cryptography.x509", "acme"),
)
"""What a Portal that serves without TLS has no use for, until somebody asks for it."""
_LOADED = """
import json, sys
from proxy.cli.root import with_commands
import proxy.server.run
with_commands(["serve"])
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_alone_is_what_it_is_among_all(name: str) -> None:
    alone, among = (typer.main.get_command(with_commands(each)) for each in ([name], COMMANDS))
    assert isinstance(alone, TyperGroup)
    assert isinstance(among, TyperGroup)
    assert list(alone.commands) == [name]
    assert type(alone.commands[name]) is type(among.commands[name])
    assert alone.commands[name].help == among.commands[name].help


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["serve"], "serve"),
        (["--config", "serve", "health"], "health"),
        (["--config=serve", "health", "--json"], "health"),
        (["--help", "serve"], ""),
        (["--version"], ""),
        (["-h"], ""),
        ([], ""),
        (["--config"], ""),
    ],
)
def test_a_command_is_told_before_anything_is_imported(words: list[str], command: str) -> None:
    assert _command(words) == command


def test_a_word_that_is_no_command_is_told_of_those_that_are(home: Home) -> None:
    told = home.run("serv")
    assert told.status == 2
    assert "serve" in told.stderr
    helped = home.run("--help", "serve").stdout
    assert all(name in helped for name in COMMANDS)


def test_who_serves_imports_nothing_that_serving_has_no_use_for() -> None:
    line = [sys.executable, "-c", _LOADED]
    loaded = set(json.loads(subprocess.check_output(line, env=environment())))
    assert loaded.isdisjoint(_SERVED_WITHOUT), loaded & set(_SERVED_WITHOUT)
    assert not [name for name in loaded if name.startswith("proxy.cli.ping")]
