"""Tokens are put where their apps look for them, and what fails is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.config.apps import App
from proxy.core.access.rules import Rules
from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination
from proxy.server.token_files import AGAIN, TokenFiles
from proxy.state.tokens import TokenStore

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    """A steady clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "tokens")


def app(token_file: Path) -> App:
    return App("box", Rules(()), Destination(Origin("http", "box", 80)), token_file)


def test_it_is_due_when_something_changed_and_once(tokens: TokenStore, tmp_path: Path) -> None:
    files = TokenFiles(tokens)
    assert not files.is_due()
    files.want()
    assert files.is_due()
    files.deliver({"box": app(tmp_path / "token")})
    assert not files.is_due()
    assert tokens.app_of((tmp_path / "token").read_text()) == "box"
    assert files.problems == ()


def test_what_could_not_be_written_is_told_once_and_tried_again(
    tokens: TokenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    files = TokenFiles(tokens, clock)
    apps = {"box": app(tmp_path / "there" / "token")}
    for _ in range(3):
        files.deliver(apps)
        assert [each.file for each in files.problems] == ["box"]
        assert not files.is_due()
        clock.now += AGAIN
        assert files.is_due()
    assert caplog.text.count("no token for box") == 1
    (tmp_path / "there").mkdir()
    files.deliver(apps)
    assert files.problems == ()
    clock.now += AGAIN
    assert not files.is_due()


def test_a_token_that_was_made_is_held_although_a_look_began_before(
    tokens: TokenStore, tmp_path: Path
) -> None:
    look = tokens.look()
    TokenFiles(tokens).deliver({"box": app(tmp_path / "token")})
    token = (tmp_path / "token").read_text()
    (tmp_path / "tokens" / "other").touch()
    tokens.apply(look)
    assert tokens.app_of(token) == "box"
    tokens.refresh()
    assert tokens.app_of(token) == "box"
    (tmp_path / "tokens" / "box").unlink()
    tokens.refresh()
    assert tokens.app_of(token) is None
