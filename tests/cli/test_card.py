"""``card``: the line that an owner gives to friends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from proxy.core.card import read_card
from proxy.core.written_id import read_id

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Home


def test_the_line_stands_alone_on_stdout_and_says_who_and_where(ada: Home) -> None:
    outcome = ada.run("card")
    assert outcome.status == 0
    card = read_card(outcome.stdout)
    assert outcome.stdout.count("\n") == 1
    assert card.portal_id == ada.own_id()
    assert card.address == f"https://{ada.own_id()[:6]}.p.getportal.org"
    assert card.name == "Ada"
    assert read_id(outcome.stderr.rpartition(": ")[2]) == ada.own_id()


def test_json_has_each_part(ada: Home) -> None:
    told = json.loads(ada.call("card", "--json").stdout)
    assert read_card(told["card"]).portal_id == told["id"] == ada.own_id()
    assert read_id(told["written_id"]) == told["id"]
    assert (told["name"], told["address"]) == ("Ada", read_card(told["card"]).address)


def test_the_line_is_a_qr_code_too_where_it_is_asked_for(ada: Home) -> None:
    outcome = ada.run("card", "--qr", PYTHONUTF8="1")
    assert outcome.status == 0
    assert outcome.stdout.startswith("portal:")
    assert "\u2580" in outcome.stdout


def test_a_friend_adds_it_by_that_line_alone(ada: Home, tmp_path: Path) -> None:
    line = ada.call("card").stdout.strip()
    there = type(ada)(tmp_path / "bob")
    there.path.mkdir()
    assert there.call("init", "--name", "Bob", "--domain", "x.example").status == 0
    assert there.call("peers", "add", line).status == 0
    (peer,) = json.loads(there.call("peers", "list", "--json").stdout)
    assert (peer["id"], peer["name"]) == (ada.own_id(), "Ada")
    assert peer["address"] == read_card(line).address
