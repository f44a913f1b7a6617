"""The card: what it says, and that a copy which lost something is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.card import LONGEST, BadCard, Card, read_card, write_card
from proxy.core.display_names import name_problem
from proxy.core.identity import ALPHABET, ID_LENGTH

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "card.json").read_text("utf-8"))
WHOLE = VECTORS["cards"][0]["line"]


@pytest.mark.parametrize("row", VECTORS["cards"], ids=lambda row: row["name"])
def test_the_vectors_are_written_and_read(row: dict[str, str]) -> None:
    card = Card(row["portal_id"], row["address"], row["name"])
    assert write_card(card) == row["line"]
    assert read_card(row["line"]) == card


@pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["why"])
def test_what_is_no_card_is_refused_and_says_why(row: dict[str, str]) -> None:
    with pytest.raises(BadCard, match=row["why"]):
        read_card(row["line"])


def test_parameters_of_a_later_version_are_passed_over() -> None:
    row = VECTORS["later"]
    assert read_card(row["line"]) == Card(row["portal_id"], row["address"], row["name"])


@given(
    st.text(ALPHABET, min_size=ID_LENGTH, max_size=ID_LENGTH),
    st.text(min_size=1, max_size=64).filter(lambda name: name_problem(name) is None),
    st.sampled_from(["https://a.example", "http://[::1]:8080", "https://x.y.example:8443"]),
)
def test_what_is_written_is_read(portal_id: str, name: str, address: str) -> None:
    card = Card(portal_id, address, name)
    line = write_card(card)
    assert len(line) <= LONGEST
    assert line.isascii()
    broken = "\r\n > ".join((line[:70], line[70:140], line[140:])).replace(">", "")
    assert read_card(line) == read_card(broken) == card


@given(st.integers(0, len(WHOLE) - 1), st.sampled_from(ALPHABET))
def test_a_changed_character_is_noticed(at: int, wrong: str) -> None:
    changed = WHOLE[:at] + wrong + WHOLE[at + 1 :]
    if changed != WHOLE:
        with pytest.raises(BadCard):
            read_card(changed)


@pytest.mark.parametrize("length", range(len("portal:"), len(WHOLE), 7))
def test_a_part_is_no_card(length: int) -> None:
    with pytest.raises(BadCard):
        read_card(WHOLE[:length])
