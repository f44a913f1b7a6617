"""``apps list|allow|token``."""

from __future__ import annotations

import json
import socket
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from proxy.state.contacts import ContactStore

if TYPE_CHECKING:
    from tests.cli.conftest import Home

ID_A = "8271dd" + "a" * 97
ID_B = "b8rk3f" + "b" * 97
ID_B2 = "b8rk3f" + "c" * 97
UNKNOWN = "zzzzzz" + "a" * 97


@pytest.fixture
def portal(ada_with_apps: Home) -> Home:
    """Ada's Portal with two apps and two peers."""
    ada_with_apps.call("peers", "add", ID_A, "--name", "Bob")
    ada_with_apps.call("peers", "add", ID_B, "--name", "Cleo")
    return ada_with_apps


def setting_of(home: Home, app: str) -> object:
    return ContactStore(home.state / "contacts.yaml", "x.y").load().apps.get(app)


def test_list_shows_where_an_app_runs_what_it_asks_for_and_whom_it_knows(
    portal: Home,
) -> None:
    portal.call("apps", "allow", "guestbook", "8271dd")
    outcome = portal.call("apps", "list")
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    statuses = [line for line in lines if line.startswith("  status   ")]
    assert len(statuses) == 2
    assert [line for line in lines if line not in statuses] == [
        "files",
        "  upstream http://files:9002",
        "  paths    the rest public",
        "  knows    no peers",
        "guestbook",
        "  upstream http://guestbook:9001",
        "  paths    the rest private, /peer peer",
        "  knows    Bob (8271dd)",
    ]


def test_list_prints_json_for_scripts(portal: Home) -> None:
    portal.call("apps", "allow", "guestbook", "8271dd")
    portal.call("apps", "allow", "files", "all")
    files, guestbook = json.loads(portal.call("apps", "list", "--json").stdout)
    assert files["visibility"] == "all"
    assert files["peers"] == [ID_A, ID_B]
    assert guestbook.pop("status")
    assert guestbook == {
        "name": "guestbook",
        "upstream": "http://guestbook:9001",
        "paths": {"": "private", "/peer": "peer"},
        "visibility": [ID_A],
        "peers": [ID_A],
    }


def test_list_tells_which_apps_are_there_and_succeeds_whatever_they_do(ada: Home) -> None:
    app = '{"v": "3.1", "port": 1, "paths": {"": {"access": "private"}}}'
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as there,
        closing(socket.socket()) as bound,
    ):
        bound.bind(("127.0.0.1", 0))
        for name, one in (("there", there), ("gone", bound)):
            ada.add_app(name, app, f"upstream: http://127.0.0.1:{one.getsockname()[1]}\n")
        ada.add_app("away", app, "upstream: unix:nowhere.sock\n")
        text, as_json = ada.call("apps", "list"), ada.call("apps", "list", "--json")
    assert text.status == as_json.status == 0
    found = {row["name"]: row["status"] for row in json.loads(as_json.stdout)}
    assert found == {"away": "can't be found", "gone": "refuses", "there": "answers"}
    for status in found.values():
        assert f"  status   {status}\n" in text.stdout


def test_list_leaves_out_a_broken_app_and_says_so(portal: Home) -> None:
    portal.add_app("broken", "{")
    outcome = portal.call("apps", "list", "--json")
    assert outcome.status == 0
    assert [app["name"] for app in json.loads(outcome.stdout)] == ["files", "guestbook"]
    assert "portal-proxy check" in outcome.reason


def test_without_apps_list_says_where_they_go(ada: Home) -> None:
    outcome = ada.run("apps", "list")
    assert (outcome.status, outcome.stdout) == (0, "")
    assert "portal-proxy apps add NAME" in outcome.reason


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["all"], "all"),
        (["none"], "none"),
        ([ID_A], frozenset({ID_A})),
        (["8271dd", ID_B[:7]], frozenset({ID_A, ID_B})),
        ([ID_A, "8271dd"], frozenset({ID_A})),
    ],
)
def test_an_app_may_know_all_none_or_some(portal: Home, words: list[str], setting: object) -> None:
    assert portal.call("apps", "allow", "guestbook", *words).status == 0
    assert setting_of(portal, "guestbook") == setting


def test_allow_replaces_what_was_set_and_says_what_holds_now(portal: Home) -> None:
    portal.call("apps", "allow", "guestbook", ID_A)
    outcome = portal.call("apps", "allow", "guestbook", ID_B)
    assert outcome.stdout == "guestbook may know: Cleo (b8rk3f)\n"
    assert setting_of(portal, "guestbook") == frozenset({ID_B})


@pytest.mark.parametrize(
    "who", [[UNKNOWN], ["zzzzzz"], ["Alice"], ["%"], ["_"], [""], ["%25"], [ID_A, UNKNOWN], ["ALL"]]
)
def test_allow_refuses_who_is_no_peer_and_changes_nothing(portal: Home, who: list[str]) -> None:
    portal.call("apps", "allow", "guestbook", ID_B)
    outcome = portal.call("apps", "allow", "guestbook", *who)
    assert outcome.status == 1
    assert outcome.reason
    assert setting_of(portal, "guestbook") == frozenset({ID_B})


def test_allow_refuses_a_beginning_that_fits_two_peers(portal: Home) -> None:
    portal.call("peers", "add", ID_B2)
    outcome = portal.call("apps", "allow", "guestbook", "b8rk3f")
    assert outcome.status == 1
    assert ID_B2 in outcome.reason
    assert setting_of(portal, "guestbook") is None


@pytest.mark.parametrize("who", [["all", ID_A], [ID_A, "none"], ["all", "none"]])
def test_all_and_none_stand_alone(portal: Home, who: list[str]) -> None:
    outcome = portal.call("apps", "allow", "guestbook", *who)
    assert outcome.status == 2
    assert setting_of(portal, "guestbook") is None


@pytest.mark.parametrize("words", [["allow", "guestbok", "all"], ["token", "guestbok"]])
def test_a_mistyped_app_is_guessed_and_refused(portal: Home, words: list[str]) -> None:
    outcome = portal.call("apps", *words)
    assert (outcome.status, outcome.stdout) == (1, "")
    assert "did you mean guestbook?" in outcome.reason


@pytest.mark.parametrize("app", ["", "..", "../apps/files", ".", "%", "xyz", "Guestbook", "files/"])
def test_what_is_no_app_is_refused(portal: Home, app: str) -> None:
    for words in (["allow", app, "all"], ["token", app]):
        outcome = portal.call("apps", *words)
        assert (outcome.status, outcome.stdout) == (1, "")
        assert "there is no app" in outcome.reason
    assert not (portal.state / "tokens").exists()


def test_a_broken_app_can_still_be_set(portal: Home) -> None:
    portal.add_app("broken", "{")
    assert portal.call("apps", "allow", "broken", "none").status == 0


def test_the_setting_of_an_app_that_is_gone_can_be_taken_back(portal: Home) -> None:
    portal.call("apps", "allow", "files", "all")
    (portal.config / "apps" / "files").rename(portal.path / "elsewhere")
    assert portal.call("apps", "allow", "files", "all").status == 1
    assert portal.call("apps", "allow", "files", "none").status == 0
    assert setting_of(portal, "files") == "none"


def test_the_token_is_printed_alone_and_stays_the_same(portal: Home) -> None:
    first, second = (
        portal.run("apps", "token", "guestbook"),
        portal.run("apps", "token", "guestbook"),
    )
    assert (first.status, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    assert len(first.stdout.strip()) == 43
    assert first.stdout != portal.run("apps", "token", "files").stdout


def test_rotate_replaces_the_token(portal: Home) -> None:
    first = portal.call("apps", "token", "guestbook").stdout
    second = portal.call("apps", "token", "guestbook", "--rotate").stdout
    assert first != second
    assert portal.call("apps", "token", "guestbook").stdout == second


def test_the_token_file_follows_for_the_owner_alone(portal: Home) -> None:
    place = portal.path / "token"
    portal.add_app("box", '{"v": "3.1", "port": 1, "paths": {}}', f"token_file: {place}\n")
    first = portal.call("apps", "token", "box").stdout.strip()
    assert place.read_text() == first
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    second = portal.call("apps", "token", "box", "--rotate").stdout.strip()
    assert place.read_text() == second != first


def test_the_token_is_printed_though_its_file_cannot_be_written(portal: Home) -> None:
    settings = f"token_file: {portal.path}/nowhere/token\n"
    portal.add_app("box", '{"v": "3.1", "port": 1, "paths": {}}', settings)
    outcome = portal.call("apps", "token", "box")
    assert outcome.status == 0
    assert len(outcome.stdout.strip()) == 43
    assert "nowhere/token can't be written" in outcome.reason
    assert outcome.stdout.strip() not in outcome.stderr


@pytest.mark.parametrize(
    ("before", "words", "after"),
    [
        (["none"], ["--add", "8271dd"], {ID_A}),
        ([ID_B], ["--add", "8271dd"], {ID_A, ID_B}),
        ([ID_A, ID_B], ["--remove", "8271dd"], {ID_B}),
        ([ID_B], ["--add", ID_A, "--remove", ID_B], {ID_A}),
        (["none"], ["--add", ID_A, "--add", ID_B], {ID_A, ID_B}),
        (["all"], ["--remove", "8271dd"], {ID_B}),
        (["all"], ["--add", "8271dd"], "all"),
        ([ID_B], ["--remove", "8271dd"], {ID_B}),
    ],
)
def test_what_is_different_may_be_said_alone(
    portal: Home, before: list[str], words: list[str], after: object
) -> None:
    assert portal.call("apps", "allow", "guestbook", *before).status == 0
    assert portal.call("apps", "allow", "guestbook", *words).status == 0
    assert setting_of(portal, "guestbook") == after


@pytest.mark.parametrize("words", [[], ["all", "--add", ID_A], [ID_A, "--remove", ID_B]])
def test_either_all_of_it_is_said_or_what_is_different(portal: Home, words: list[str]) -> None:
    assert portal.call("apps", "allow", "guestbook", *words).status == 2
    assert setting_of(portal, "guestbook") is None


def test_nobody_is_added_and_removed_at_once(portal: Home) -> None:
    outcome = portal.call("apps", "allow", "guestbook", "--add", ID_A, "--remove", "8271dd")
    assert outcome.status == 2
    assert setting_of(portal, "guestbook") is None


def test_an_app_s_peers_are_taken_by_name(portal: Home) -> None:
    assert portal.call("peers", "rename", ID_A, "Bob").status == 0
    assert portal.call("apps", "allow", "guestbook", "Bob").status == 0
    assert setting_of(portal, "guestbook") == frozenset({ID_A})
