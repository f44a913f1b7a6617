"""``peers list|add|set|remove|rename``, without a network."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from proxy.core.card import Card, write_card
from proxy.core.written_id import write_id
from proxy.state.contacts import ContactStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Home

ID_A = "8271dd" + "a" * 97
ID_B = "b8rk3f" + "b" * 97
ID_B2 = "b8rk3f" + "c" * 97


def added(home: Home, *ids: str) -> None:
    for portal_id in ids:
        assert home.call("peers", "add", portal_id).status == 0


def ids_of(home: Home) -> list[str]:
    return [
        contact.id for contact in ContactStore(home.state / "contacts.yaml", "x.y").load().peers
    ]


def test_a_full_id_is_added_without_a_network(ada: Home) -> None:
    outcome = ada.run("peers", "add", ID_A, "--name", "Bob")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert f"Added Bob, {ID_A}" in outcome.stdout
    assert "To change that: portal-proxy apps allow APP all\n" in outcome.stdout
    contact = ContactStore(ada.state / "contacts.yaml", "p.getportal.org").load().peers[0]
    assert (contact.id, contact.name, contact.mode) == (ID_A, "Bob", "sealed")
    assert contact.address == "https://8271dd.p.getportal.org"


def test_every_option_of_add_is_kept(ada: Home) -> None:
    words = ["--name", "Bob", "--address", "HTTP://8271dd.Test:8080/", "--connect", "[::1]:9080"]
    assert ada.call("peers", "add", ID_A, *words, "--mode", "signed").status == 0
    (peer,) = json.loads(ada.call("peers", "list", "--json").stdout)
    assert peer == {
        "id": ID_A,
        "short_id": "8271dd",
        "name": "Bob",
        "address": "http://8271dd.test:8080",
        "connect": "[::1]:9080",
        "mode": "signed",
        "apps": [],
    }


def test_without_a_name_a_peer_is_called_by_its_short_id(ada: Home) -> None:
    assert f"Added 8271dd, {ID_A}" in ada.call("peers", "add", ID_A).stdout


def test_add_says_who_may_know_the_peer_and_the_commands_that_change_it(
    ada_with_apps: Home,
) -> None:
    home = ada_with_apps
    added(home, ID_B)
    home.call("apps", "allow", "files", "all")
    home.call("apps", "allow", "guestbook", ID_B)
    outcome = home.call("peers", "add", ID_A)
    assert "Apps that may know it: files\n" in outcome.stdout
    config = f"--config {home.config}"
    assert f"portal-proxy apps allow guestbook b8rk3f 8271dd {config}\n" in outcome.stdout
    assert f"portal-proxy apps allow files b8rk3f {config}\n" in outcome.stdout
    assert outcome.stdout.endswith(f"portal-proxy ping 8271dd {config}\n")


def test_the_command_that_add_shows_does_what_it_says(ada_with_apps: Home) -> None:
    home = ada_with_apps
    lines = home.call("peers", "add", ID_A).stdout.splitlines()
    shown = next(line for line in lines if line.startswith("To show it to guestbook: "))
    words = shown.partition(": portal-proxy ")[2].split()
    assert home.call(*words).status == 0
    (peer,) = json.loads(home.call("peers", "list", "--json").stdout)
    assert peer["apps"] == ["guestbook"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("%", "is in no ID"),
        ("_", "is in no ID"),
        ("%25", "is in no ID"),
        ("", "6 to 103 characters, and this one is empty"),
        ("8271d", "6 to 103 characters, and this one has 5"),
        (ID_A + "a", "6 to 103 characters, and this one has 104"),
        (ID_A.upper()[:50], f"lower case: {ID_A[:50]}"),
        ("moumou", "'m' is in no ID: IDs are made of a to z without i, m, o and u"),
        ("x@evil.test%23", "'@' is in no ID"),
        ("127.0.0.1", "'.' is in no ID"),
        ("../../x", "is in no ID"),
        ("8271dd\n", "is in no ID"),
        ("\uff18271dd", "is in no ID"),
    ],
)
def test_what_is_no_id_is_refused_and_explained(ada: Home, text: str, why: str) -> None:
    before = ada.contacts_text()
    outcome = ada.call("peers", "add", "--", text)
    assert outcome.status == 1
    assert why in outcome.reason
    assert ada.contacts_text() == before


@pytest.mark.parametrize("command", ["remove", "rename", "set"])
@pytest.mark.parametrize("text", ["%", "", "8271d", "../../x", "x@evil.test%23", "Alice"])
def test_what_names_no_contact_changes_nothing(ada: Home, command: str, text: str) -> None:
    added(ada, ID_A, ID_B)
    before = ada.contacts_text()
    more = {"remove": [], "rename": ["Bob"], "set": ["--name", "Bob"]}[command]
    outcome = ada.call("peers", command, *more[:-1], "--", text, *more[-1:])
    assert outcome.status != 0
    assert ada.contacts_text() == before


def test_an_id_that_was_mistyped_is_told_with_its_group(ada: Home) -> None:
    groups = write_id(ID_A).split("-")
    groups[4] = "b" + groups[4][1:]
    for words in (["add"], ["remove"]):
        outcome = ada.call("peers", *words, "-".join(groups))
        assert outcome.status == 1
        assert "group 5 of 18" in outcome.reason
    assert ids_of(ada) == []


@pytest.mark.parametrize("form", [write_id, str.upper, lambda i: write_id(i).replace("-", " ")])
def test_an_id_is_taken_in_any_of_its_forms(ada: Home, form: Callable[[str], str]) -> None:
    added(ada, form(ID_A))
    assert ids_of(ada) == [ID_A]
    assert ada.call("peers", "remove", form(ID_A)).status == 0
    assert ids_of(ada) == []


def test_a_portal_is_no_peer_of_itself(ada: Home) -> None:
    outcome = ada.call("peers", "add", ada.own_id())
    assert outcome.status == 1
    assert "own ID" in outcome.reason
    assert ids_of(ada) == []


def test_a_peer_is_not_added_twice(ada: Home) -> None:
    added(ada, ID_A)
    outcome = ada.call("peers", "add", ID_A, "--name", "Other")
    assert outcome.status == 1
    assert "is a peer already" in outcome.reason
    assert ids_of(ada) == [ID_A]


@pytest.mark.parametrize(
    "words",
    [
        ["--name", "x\r\ny"],
        ["--name", ""],
        ["--address", "ftp://x.y"],
        ["--address", "https://a@b/"],
        ["--address", ""],
        ["--connect", "127.0.0.1"],
        ["--connect", "a:b"],
        ["--connect", ""],
        ["--connect", "u@h:80"],
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_its_name(ada: Home, words: list[str]) -> None:
    outcome = ada.call("peers", "add", ID_A, *words)
    assert outcome.status == 1
    assert f"{words[0]}: " in outcome.reason
    assert ids_of(ada) == []


def test_list_shows_each_peer_with_its_apps(ada_with_apps: Home) -> None:
    home = ada_with_apps
    home.call("peers", "add", ID_A, "--name", "Bob", "--connect", "127.0.0.1:9080")
    home.call("apps", "allow", "guestbook", "8271dd")
    assert home.call("peers", "list").stdout.splitlines() == [
        "Bob  8271dd",
        f"  id       {write_id(ID_A)}",
        "  address  https://8271dd.p.getportal.org",
        "  connect  127.0.0.1:9080",
        "  mode     sealed",
        "  apps     guestbook",
    ]


def test_list_shows_how_each_peer_is_called(ada: Home) -> None:
    added(ada, ID_A)
    ada.call("peers", "add", ID_B, "--mode", "signed")
    lines = ada.call("peers", "list").stdout.splitlines()
    assert [line.split() for line in lines if line.startswith("  mode")] == [
        ["mode", "sealed"],
        ["mode", "signed"],
    ]
    listed = json.loads(ada.call("peers", "list", "--json").stdout)
    assert [peer["mode"] for peer in listed] == ["sealed", "signed"]


def test_an_empty_list_says_how_to_add_one(ada: Home) -> None:
    outcome = ada.call("peers", "list")
    assert (outcome.status, outcome.stdout) == (0, "")
    assert "portal-proxy peers add CARD" in outcome.stderr
    assert json.loads(ada.call("peers", "list", "--json").stdout) == []


@pytest.mark.parametrize("length", [6, 50, 103])
def test_a_peer_is_removed_by_its_id_or_a_beginning_of_it(ada: Home, length: int) -> None:
    added(ada, ID_A, ID_B)
    outcome = ada.call("peers", "remove", ID_A[:length])
    assert (outcome.status, outcome.stdout) == (0, f"Removed 8271dd, {ID_A}\n")
    assert ids_of(ada) == [ID_B]


@pytest.mark.parametrize("command", [["remove"], ["rename"]])
def test_a_beginning_that_fits_two_peers_chooses_neither(ada: Home, command: list[str]) -> None:
    added(ada, ID_B, ID_B2)
    name = ["Bob"] if command == ["rename"] else []
    outcome = ada.call("peers", *command, "b8rk3f", *name)
    assert outcome.status == 1
    assert ID_B in outcome.reason
    assert ID_B2 in outcome.reason
    assert ids_of(ada) == [ID_B, ID_B2]
    assert ada.call("peers", *command, "b8rk3fb", *name).status == 0


def test_a_peer_is_chosen_by_its_name_where_nobody_else_could_be_meant(ada: Home) -> None:
    ada.call("peers", "add", ID_A, "--name", "Bob")
    ada.call("peers", "add", ID_B, "--name", "Bob")
    outcome = ada.call("peers", "remove", "Bob")
    assert outcome.status == 1
    assert ID_A in outcome.reason
    assert ID_B in outcome.reason
    assert ada.call("peers", "rename", ID_B, "Bea").status == 0
    assert ada.call("peers", "remove", "Bob").status == 0
    assert ids_of(ada) == [ID_B]


def test_a_name_that_looks_like_the_id_of_another_names_neither(ada: Home) -> None:
    ada.call("peers", "add", ID_A, "--name", "b8rk3f")
    added(ada, ID_B)
    outcome = ada.call("peers", "remove", "b8rk3f")
    assert outcome.status == 1
    assert "can mean several contacts" in outcome.reason
    assert ids_of(ada) == [ID_A, ID_B]


def test_a_card_is_all_that_is_needed(ada: Home) -> None:
    line = write_card(Card(ID_A, "https://8271dd.example:8443", "Bob"))
    outcome = ada.run("peers", "add", line)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert f"Added Bob, {ID_A}\nAddress: https://8271dd.example:8443\n" in outcome.stdout
    assert ids_of(ada) == [ID_A]


def test_what_is_typed_beside_a_card_overrules_it(ada: Home) -> None:
    line = write_card(Card(ID_A, "https://8271dd.example:8443", "Bob"))
    words = ["--name", "My brother", "--address", "http://x.example", "--connect", "127.0.0.1:80"]
    assert ada.call("peers", "add", line, *words).status == 0
    (peer,) = json.loads(ada.call("peers", "list", "--json").stdout)
    assert (peer["name"], peer["address"], peer["connect"]) == (words[1], words[3], words[5])


@pytest.mark.parametrize("cut", [20, 150, -3])
def test_a_part_of_a_card_says_how_to_get_all_of_it(ada: Home, cut: int) -> None:
    line = write_card(Card(ID_A, "https://8271dd.example:8443", "Bob"))
    outcome = ada.call("peers", "add", line[:cut])
    assert outcome.status == 1
    assert "have the whole line sent again, and put quotes around it" in outcome.reason
    assert ids_of(ada) == []


def test_an_address_that_nobody_gave_is_said_to_be_a_guess(ada: Home) -> None:
    guessed = ada.call("peers", "add", ID_A).stdout
    given = ada.call("peers", "add", ID_B, "--address", "https://b.example").stdout
    assert "Address: https://8271dd.p.getportal.org (a guess: below your own domain" in guessed
    assert "Address: https://b.example\n" in given


@pytest.mark.parametrize(
    ("words", "member", "value"),
    [
        (["--name", "Bob, at work"], "name", "Bob, at work"),
        (["--address", "HTTP://X.test:80/"], "address", "http://x.test"),
        (["--connect", "[::1]:9080"], "connect", "[::1]:9080"),
        (["--connect", ""], "connect", None),
        (["--mode", "signed"], "mode", "signed"),
    ],
)
def test_set_changes_what_is_given_and_nothing_else(
    ada: Home, words: list[str], member: str, value: object
) -> None:
    ada.call("peers", "add", ID_A, "--name", "Bob", "--connect", "127.0.0.1:1")
    (before,) = json.loads(ada.call("peers", "list", "--json").stdout)
    outcome = ada.call("peers", "set", "Bob", *words)
    assert outcome.status == 0, outcome.stderr
    (after,) = json.loads(ada.call("peers", "list", "--json").stdout)
    assert after == {**before, member: value}


@pytest.mark.parametrize(
    "words",
    [["--name", "\u202eboB"], ["--address", "ftp://x"], ["--connect", "x"], ["--name", ""], []],
)
def test_set_refuses_what_cannot_be_meant(ada: Home, words: list[str]) -> None:
    added(ada, ID_A)
    before = ada.contacts_text()
    assert ada.call("peers", "set", "8271dd", *words).status == (1 if words else 2)
    assert ada.contacts_text() == before


def test_an_unknown_peer_is_not_removed(ada: Home) -> None:
    outcome = ada.call("peers", "remove", "8271dd")
    assert outcome.status == 1
    assert "peers list" in outcome.reason


def test_a_removed_peer_is_gone_from_every_app(ada_with_apps: Home) -> None:
    home = ada_with_apps
    added(home, ID_A, ID_B)
    home.call("apps", "allow", "guestbook", ID_A, ID_B)
    home.call("peers", "remove", ID_A)
    added(home, ID_A)
    apps = {
        peer["id"]: peer["apps"] for peer in json.loads(home.call("peers", "list", "--json").stdout)
    }
    assert apps == {ID_A: [], ID_B: ["guestbook"]}


def test_a_peer_is_renamed(ada: Home) -> None:
    added(ada, ID_A)
    outcome = ada.call("peers", "rename", "8271dd", "Bob, at work")
    assert (outcome.status, outcome.stdout) == (0, f"Renamed 8271dd to Bob, at work, {ID_A}\n")
    assert json.loads(ada.call("peers", "list", "--json").stdout)[0]["name"] == "Bob, at work"


@pytest.mark.parametrize("name", ["", "x\x1b[2J", "x" * 65, "\u202ebob"])
def test_a_name_that_could_deceive_is_no_new_name(ada: Home, name: str) -> None:
    added(ada, ID_A)
    outcome = ada.call("peers", "rename", "8271dd", name)
    assert outcome.status == 1
    assert outcome.reason.isprintable()
    assert json.loads(ada.call("peers", "list", "--json").stdout)[0]["name"] == "8271dd"


def test_of_peers_that_are_added_at_the_same_time_none_is_lost(ada: Home) -> None:
    ids = sorted(f"{letter * 6}{'a' * 97}" for letter in "bcdef")
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda portal_id: ada.run("peers", "add", portal_id), ids))
    assert [outcome.status for outcome in outcomes] == [0] * len(ids)
    assert sorted(ids_of(ada)) == ids


def test_a_broken_contact_list_is_reported_and_never_overwritten(ada: Home) -> None:
    (ada.state / "contacts.yaml").write_text("peers: [{id: 8271dd, name: x}]\n")
    for words in (["list"], ["add", ID_A], ["remove", "8271dd"], ["rename", "8271dd", "Bob"]):
        outcome = ada.call("peers", *words)
        assert outcome.status == 1
        assert "contacts.yaml: peers[0].id" in outcome.reason
    assert ada.contacts_text() == "peers: [{id: 8271dd, name: x}]\n"


def test_a_missing_contact_list_says_what_to_do(ada: Home) -> None:
    (ada.state / "contacts.yaml").unlink()
    assert "portal-proxy init" in ada.call("peers", "list").reason
