"""The account, the last failure: what is kept, and what is made of files that are damaged."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from proxy.core.errors import Invalid, LaterVersion
from proxy.state.acme_files import (
    Account,
    Failure,
    forget_failure,
    read_account,
    read_failure,
    write_account,
    write_failure,
)

DIRECTORY = "https://ca.example/directory"
ACCOUNT = Account(DIRECTORY, "https://ca.example/account/1", "-----BEGIN PRIVATE KEY-----\n")
FAILURE = Failure("port 80 is closed", 1000, 2, 2800)


def test_an_account_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    assert read_account(path, DIRECTORY) is None
    write_account(path, ACCOUNT)
    assert read_account(path, DIRECTORY) == ACCOUNT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["v"] == "1"


def test_an_account_is_one_authoritys(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    write_account(path, ACCOUNT)
    assert read_account(path, "https://other.example/directory") is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"v": "1"}', '{"v": "1", "directory": 1, "uri": 2, "key": 3}',
     json.dumps({"v": "1", "directory": DIRECTORY, "uri": 2, "key": "x"}),
     json.dumps({"v": "1", "directory": DIRECTORY, "uri": "x", "key": "x", "more": 1})],
)  # fmt: skip
def test_a_damaged_account_is_told_and_never_replaced_silently(tmp_path: Path, text: str) -> None:
    path = tmp_path / "account.json"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(Invalid) as invalid:
        read_account(path, DIRECTORY)
    assert str(path) in str(invalid.value)


def test_an_account_of_a_later_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.touch(0o600)
    path.write_text('{"v": "2"}')
    with pytest.raises(LaterVersion, match="of version 2"):
        read_account(path, DIRECTORY)


def test_an_account_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    write_account(path, ACCOUNT)
    path.chmod(0o644)
    with pytest.raises(Invalid, match="chmod 0600"):
        read_account(path, DIRECTORY)


def test_a_failure_is_kept_until_a_try_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "failure.json"
    assert read_failure(path) is None
    write_failure(path, FAILURE)
    assert read_failure(path) == FAILURE
    forget_failure(path)
    assert read_failure(path) is None
    forget_failure(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"v": "2"}', '{"v": "1", "reason": 1, "at": 1, "times": 1, "next_try": 1}',
     '{"v": "1", "reason": "x", "at": 1.5, "times": 1, "next_try": 1}',
     '{"v": "1", "reason": "x", "at": 1, "times": true, "next_try": 1}',
     '{"v": "1", "reason": "x", "at": 1, "times": 1, "next_try": -1}'],
)  # fmt: skip
def test_a_failure_that_cant_be_read_holds_nothing_up(tmp_path: Path, text: str) -> None:
    path = tmp_path / "failure.json"
    path.touch(0o600)
    path.write_text(text)
    assert read_failure(path) is None
