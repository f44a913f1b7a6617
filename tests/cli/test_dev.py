"""``dev``: what it refuses before anything is started. (tests/wire/test_dev.py runs it.)"""

import fcntl

import pytest

from tests.cli.conftest import Home

TWO = ("--app", "chat=7,9")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say which app"),
        (("--app", "chat=3000"), "two of it are needed"),
        ((*TWO, "--app", "files=11,13", "--", "npm", "start"), "one command runs one app"),
        ((*TWO, "--", "no-such-program"), "there is no program 'no-such-program'"),
        (("--app", "chat=7,unix:/a", "--", "sh"), "a command is told a port"),
        ((*TWO, "--port", "0"), "--port"),
        ((*TWO, "--port", "65536"), "--port"),
        ((*TWO, "--no-proxy", "*"), "--no-proxy"),
    ],
)
def test_a_command_line_that_cant_be_meant_is_refused(
    home: Home, words: tuple[str, ...], told: str
) -> None:
    refused = home.call("dev", *words)
    assert (refused.status, refused.stdout) == (2, "")
    assert told in refused.reason


def test_a_folder_that_holds_something_else_is_left_alone(home: Home) -> None:
    (home.path / "mine").mkdir()
    (home.path / "mine" / "thesis").touch()
    refused = home.run("dev", *TWO, "--keep", "mine")
    assert refused.status == 1
    assert "isn't empty" in refused.reason
    assert [path.name for path in (home.path / "mine").iterdir()] == ["thesis"]


def test_two_at_once_dont_share_a_folder(home: Home) -> None:
    (home.path / "kept").mkdir()
    with (home.path / "kept" / "dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = home.run("dev", *TWO, "--keep", "kept")
    assert refused.status == 1
    assert "another portal-proxy dev is running" in refused.reason


def test_a_port_that_is_taken_costs_no_folder(home: Home) -> None:
    refused = home.run("dev", *TWO, "--port", "65530", TMPDIR=str(home.path))
    assert refused.status == 1
    assert "no port above 65535" in refused.reason
    assert list(home.path.iterdir()) == []
