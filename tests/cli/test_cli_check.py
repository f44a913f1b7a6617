"""``check``: every problem of every file at once, warnings apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Home

ID_A = "8271dd" + "a" * 97


def test_a_portal_without_mistakes_passes(ada_with_apps: Home) -> None:
    ada_with_apps.call("apps", "allow", "guestbook", "all")
    outcome = ada_with_apps.run("check")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "No problems found.\n", "")


def test_every_problem_of_every_file_is_shown_at_once(ada: Home) -> None:
    ada.add_app("one", '{"v": "9"}')
    ada.add_app(
        "two", '{"v": "3.1", "port": 1, "paths": {"x": {"access": "pubic"}}}', "upstrem: x\n"
    )
    (ada.state / "identity.key").chmod(0o644)
    (ada.state / "contacts.yaml").write_text("peers: [{id: x, name: y}, {id: z}]\n")
    (ada.state / "replay.sqlite3").write_bytes(b"no database at all")
    outcome = ada.run("check")
    assert outcome.status == 1
    for expected in (
        "apps/one/app.json: v: ", "apps/two/app.json: paths.", "apps/two/proxy.yaml: upstrem: ",
        "identity.key: ", "contacts.yaml: peers[0].id: ", "contacts.yaml: peers[1].name: ",
        "replay.sqlite3: ",
    ):  # fmt: skip
        assert f"problem: {expected}" in outcome.stdout.replace("config/", "").replace("state/", "")
    problems = outcome.stdout.count("problem: ")
    assert outcome.reason == f"portal-proxy: {problems} problems found"


def test_with_a_broken_portal_yaml_the_apps_are_checked_all_the_same(ada: Home) -> None:
    (ada.config / "portal.yaml").write_text("nmae: Ada\ndomain: a..b\n")
    ada.add_app("one", '{"v": "9"}')
    outcome = ada.run("check")
    assert outcome.status == 1
    for expected in ("nmae", "domain", "one/app.json: v"):
        assert expected in outcome.stdout
    assert "warning: config/portal.yaml: until this can be read" in outcome.stdout


@pytest.mark.parametrize("name", ["identity.key", "contacts.yaml"])
def test_what_is_missing_in_the_state_folder_is_a_problem_that_init_mends(
    ada: Home, name: str
) -> None:
    (ada.state / name).unlink()
    outcome = ada.call("check")
    assert outcome.status == 1
    assert f"{name}: is missing" in outcome.stdout
    assert "portal-proxy init" in outcome.stdout
    ada.call("init")
    assert ada.call("check").status == 0


def test_a_missing_replay_store_is_a_warning_since_the_proxy_makes_it(ada: Home) -> None:
    (ada.state / "replay.sqlite3").unlink()
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "replay.sqlite3: is missing" in outcome.stdout


def test_before_init_check_says_what_to_do(home: Home) -> None:
    outcome = home.run("check")
    assert outcome.status == 1
    assert "portal-proxy init" in outcome.stdout


def test_check_changes_nothing(ada: Home) -> None:
    def listing() -> dict[str, tuple[int, int]]:
        return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in ada.state.iterdir()}

    before = listing()
    assert ada.call("check").status == 0
    assert {name: listing()[name] for name in before} == before


def test_signed_calls_over_plain_http_are_a_warning(ada: Home) -> None:
    path = ada.config / "portal.yaml"
    path.write_text(path.read_text().replace("public_url: https://", "public_url: http://"))
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "config/portal.yaml: public_url: is plain http" in outcome.stdout


def test_accepting_only_a_mode_that_isnt_spoken_is_a_warning(ada: Home) -> None:
    path = ada.config / "portal.yaml"
    text = path.read_text().replace("public_url: https://", "public_url: http://")
    path.write_text(text.replace("# accept: [sealed, signed]", "accept: [sealed]"))
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "config/portal.yaml: accept: no call comes in" in outcome.stdout
    assert "is plain http" not in outcome.stdout


def test_a_token_file_that_cant_be_written_is_a_problem(ada_with_apps: Home) -> None:
    settings = ada_with_apps.config / "apps/guestbook/proxy.yaml"
    settings.write_text("token_file: /nonexistent/token\n")
    outcome = ada_with_apps.call("check")
    assert outcome.status == 1
    assert "token_file: /nonexistent isn't a folder" in outcome.stdout


def test_a_contact_over_plain_http_is_a_warning(ada: Home) -> None:
    ada.call("peers", "add", ID_A, "--name", "Bob", "--address", "http://bob.example")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "Bob is called over plain http" in outcome.stdout


def test_an_app_whose_peer_paths_nobody_may_enter_is_a_warning(ada_with_apps: Home) -> None:
    home = ada_with_apps
    command = "portal-proxy apps allow guestbook all"
    assert command in home.call("check").stdout
    home.call("apps", "allow", "guestbook", "none")
    assert command in home.call("check").stdout
    home.call("apps", "allow", "guestbook", "all")
    assert "warning" not in home.call("check").stdout


def test_a_setting_for_an_app_that_does_not_exist_is_a_warning(ada_with_apps: Home) -> None:
    home = ada_with_apps
    home.call("apps", "allow", "files", "all")
    (home.config / "apps" / "files").rename(home.path / "elsewhere")
    outcome = home.call("check")
    assert outcome.status == 0
    assert "contacts.yaml: apps.files: there is no app of this name" in outcome.stdout


def test_a_broken_app_is_not_said_to_be_missing_as_well(ada: Home) -> None:
    ada.add_app("broken", "{")
    ada.call("apps", "allow", "broken", "all")
    assert "there is no app" not in ada.call("check").stdout


def test_ones_own_id_among_the_peers_is_a_warning(ada: Home) -> None:
    own = ada.own_id()
    (ada.state / "contacts.yaml").write_text(f"peers: [{{id: {own}, name: Me}}]\n")
    assert "own ID" in ada.call("check").stdout


def test_json_is_for_scripts(ada_with_apps: Home) -> None:
    home = ada_with_apps
    passed = json.loads(home.call("check", "--json").stdout)
    assert (passed["ok"], passed["problems"]) == (True, [])
    assert [warning["place"] for warning in passed["warnings"]] == ["apps.guestbook"]
    home.add_app("broken", '{"v": "9"}')
    outcome = home.call("check", "--json")
    assert outcome.status == 1
    failed = json.loads(outcome.stdout)
    assert failed["ok"] is False
    assert [problem["place"] for problem in failed["problems"]] == ["v"]
    assert failed["problems"][0]["file"].endswith("apps/broken/app.json")


def test_what_a_file_holds_reaches_no_terminal_unescaped(ada: Home) -> None:
    ada.add_app("one", '{"v": "\\u001b[2J\\u202e"}')
    outcome = ada.run("check")
    assert outcome.status == 1
    assert all(line.isprintable() for line in outcome.stdout.splitlines())
