"""``apps remove``: the app is gone, and its files are kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from proxy.config.apps import load_catalogue

if TYPE_CHECKING:
    from tests.cli.conftest import Home


def test_an_app_is_gone_with_whom_it_may_know_and_its_token(ada_with_apps: Home) -> None:
    ada = ada_with_apps
    ada.call("apps", "allow", "guestbook", "all")
    token = ada.call("apps", "token", "guestbook").stdout
    outcome = ada.call("apps", "remove", "guestbook", "--yes")
    assert outcome.status == 0
    kept = ada.config / "apps" / ".guestbook.removed"
    assert f"Its files  {kept}\n" in outcome.stdout
    catalogue = load_catalogue(ada.config)
    assert ([*catalogue.apps], catalogue.problems) == (["files"], ())
    assert (kept / "app.json").exists()
    assert ada.call("check").status == 0
    kept.rename(ada.config / "apps" / "guestbook")
    assert "no peers" in ada.call("apps", "list").stdout.partition("guestbook")[2]
    assert ada.call("apps", "token", "guestbook").stdout != token


def test_devices_that_came_to_it_by_a_token_are_gone_and_no_others(ada_with_apps: Home) -> None:
    """The next app of that name is another one."""
    ada = ada_with_apps
    for app in ("guestbook", "files", "guestbook"):
        assert ada.call("terminals", "add", "--token", "--app", app).status == 0
    outcome = ada.call("apps", "remove", "guestbook", "--yes")
    assert outcome.stdout.count("its token was for guestbook alone") == 2
    (left,) = json.loads(ada.call("terminals", "list", "--json").stdout)
    assert left["app"] == "files"
    assert "for files alone" in ada.call("apps", "remove", "files", "--yes").stdout
    assert json.loads(ada.call("terminals", "list", "--json").stdout) == []


def test_it_can_be_added_and_removed_again_and_all_files_are_kept(ada: Home) -> None:
    for kept in (".a.removed", ".a.removed-1"):
        assert ada.call("apps", "add", "a", "--upstream", "http://127.0.0.1:3000").status == 0
        assert ada.call("apps", "remove", "a", "--yes").status == 0
        assert (ada.config / "apps" / kept / "proxy.yaml").exists()


@pytest.mark.parametrize("name", ["gone", "..", ".guestbook.removed", "guestbook/", ""])
def test_what_is_no_app_is_not_removed(ada_with_apps: Home, name: str) -> None:
    outcome = ada_with_apps.call("apps", "remove", name, "--yes")
    assert outcome.status == 1
    assert "there is no app" in outcome.reason
    assert {*load_catalogue(ada_with_apps.config).apps} == {"files", "guestbook"}


def test_somebody_is_asked_first(ada_with_apps: Home) -> None:
    ada = ada_with_apps
    assert ada.run_at_terminal("apps", "remove", "files", answer="n\n").status == 1
    assert "--yes" in ada.run("apps", "remove", "files", stdin="").stderr
    assert (ada.config / "apps" / "files").exists()
    assert ada.run_at_terminal("apps", "remove", "files", answer="y\n").status == 0
    assert not (ada.config / "apps" / "files").exists()
