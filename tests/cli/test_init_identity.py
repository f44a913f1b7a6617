"""Never another identity by accident: ``init``, ``serve`` and ``check`` where a key is lost."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from proxy.config.portal_yaml import load_config
from proxy.core.identity import PrivateKey
from proxy.state.identity_key import create_identity, load_identity

if TYPE_CHECKING:
    from tests.cli.conftest import Home

BY_HAND = "# mine\nname: Ada\ndomain: p.getportal.org\n"
WAYS_OUT = ("backup", "init --new-identity")


def by_hand(home: Home, text: str = BY_HAND) -> None:
    home.config.mkdir(exist_ok=True)
    (home.config / "portal.yaml").write_text(text)


def yaml(home: Home) -> str:
    return (home.config / "portal.yaml").read_text()


def refused_by_all(home: Home, *words: str) -> None:
    """Hold that nothing serves, makes or hides it, and that each says what to do."""
    for command in ("init", "serve", "check"):
        outcome = home.call(command)
        assert outcome.status == 1, command
        for word in (*words, *WAYS_OUT):
            assert word in outcome.stdout + outcome.stderr, command


def test_portal_yaml_names_the_portal_from_its_first_day(home: Home) -> None:
    assert home.call("init", "--name", "Ada", "--domain", "p.getportal.org").status == 0
    assert load_config(home.config).id == home.own_id()


def test_one_written_by_hand_is_completed_and_else_left_alone(home: Home) -> None:
    by_hand(home)
    outcome = home.call("init")
    assert outcome.status == 0
    assert yaml(home).startswith(BY_HAND)
    assert load_config(home.config).id == home.own_id()
    before = yaml(home)
    assert home.call("init").status == 0
    assert yaml(home) == before


def test_one_that_is_read_only_gets_its_line_printed_and_is_not_served_without(home: Home) -> None:
    by_hand(home)
    (home.config / "portal.yaml").chmod(0o444)
    outcome = home.call("init")
    line = f"id: {home.own_id()}"
    assert outcome.status == 0
    assert line in outcome.stdout.splitlines()
    assert yaml(home) == BY_HAND
    for command in ("serve", "check"):
        refused = home.call(command)
        assert refused.status == 1
        assert line in refused.stdout + refused.stderr
    (home.config / "portal.yaml").chmod(0o644)
    by_hand(home, f"{BY_HAND}{line}\n")
    assert "id: is missing" not in home.call("check").stdout


def test_a_state_folder_that_is_lost_makes_no_other_portal(ada: Home) -> None:
    lost = ada.own_id()
    shutil.rmtree(ada.state)
    refused_by_all(ada, lost, "is missing")
    assert not (ada.state / "identity.key").exists()


def test_another_portal_s_key_is_served_by_nobody(ada: Home) -> None:
    named = ada.own_id()
    (ada.state / "identity.key").unlink()
    other = create_identity(ada.state / "identity.key").public.portal_id
    refused_by_all(ada, named, other)
    assert load_identity(ada.state / "identity.key").public.portal_id == other


def test_a_key_without_its_settings_is_taken_up_again(ada: Home) -> None:
    kept = ada.own_id()
    shutil.rmtree(ada.config)
    assert ada.call("init", "--name", "Ada", "--domain", "p.getportal.org").status == 0
    assert ada.own_id() == load_config(ada.config).id == kept


def test_new_stands_for_an_identity_that_may_be_thrown_away(home: Home) -> None:
    by_hand(home, f"id: new\n{BY_HAND}")
    assert home.call("init").status == 0
    first = home.own_id()
    shutil.rmtree(home.state)
    assert home.call("init").status == 0
    assert home.own_id() != first
    assert yaml(home) == f"id: new\n{BY_HAND}"


@pytest.mark.parametrize("loss", ["nothing", "the key", "the folder", "another's"])
def test_a_new_identity_is_made_when_it_is_asked_for_and_says_what_it_costs(
    ada: Home, loss: str
) -> None:
    former, before = ada.own_id(), yaml(ada)
    key = ada.state / "identity.key"
    kept = key.read_bytes()
    if loss == "the folder":
        shutil.rmtree(ada.state)
    elif loss != "nothing":
        key.unlink()
    if loss == "another's":
        create_identity(key)
        kept = key.read_bytes()
    outcome = ada.call("init", "--new-identity")
    now = ada.own_id()
    assert outcome.status == 0
    assert now != former
    assert yaml(ada) == before.replace(former, now)
    assert f"This was {former[:6]} and is {now[:6]} now" in outcome.stderr
    assert "Its address and its apps' have changed" in outcome.stderr
    assert "each has to remove the old ID and add the new one" in outcome.stderr
    aside = ada.state / "identity.key.1"
    assert (aside.read_bytes() if aside.exists() else kept) == kept
    assert aside.exists() == (loss in {"nothing", "another's"})


def test_an_address_that_stays_is_not_said_to_have_changed(home: Home) -> None:
    url = "https://portal.ada.example"
    assert home.call("init", "--name", "Ada", "--public-url", url, "--no-app-hosts").status == 0
    outcome = home.call("init", "--new-identity")
    assert f"Address    {url}\n" in outcome.stdout
    assert "No peer knows it" in outcome.stderr
    assert "have changed" not in outcome.stderr


def test_each_key_that_is_given_up_is_kept(ada: Home) -> None:
    given_up = []
    for _ in range(3):
        given_up.append((ada.state / "identity.key").read_bytes())
        assert ada.call("init", "--new-identity").status == 0
    kept = [(ada.state / f"identity.key.{number}").read_bytes() for number in (1, 2, 3)]
    assert kept == given_up


def test_a_read_only_portal_yaml_gets_the_new_line_printed(ada: Home) -> None:
    (ada.config / "portal.yaml").chmod(0o444)
    outcome = ada.call("init", "--new-identity")
    new = load_identity(ada.state / "identity.key").public.portal_id
    assert f"id: {new}" in outcome.stdout.splitlines()
    assert "in the place of its id" in outcome.stderr
    assert ada.call("serve").status == 1


def test_the_id_is_told_before_it_is_in_the_file_and_never_another_s(ada: Home) -> None:
    named = ada.own_id()
    text = yaml(ada)
    by_hand(ada, text.replace(f"id: {named}\n", ""))
    assert ada.own_id() == named
    by_hand(ada, text.replace(named, PrivateKey(bytes(32)).public.portal_id))
    assert ada.call("id").status == 1


def test_a_state_folder_below_the_home_folder_is_found_there(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home.path / "her home"))
    by_hand(home, f"{BY_HAND}state: ~/state\n")
    assert home.call("init").status == 0
    assert (home.path / "her home" / "state" / "identity.key").exists()
    by_hand(home, f"{BY_HAND}state: ~nobody-here/state\n")
    assert "nobody's home folder here" in home.call("check").stdout
