"""A Portal ID in groups: what it looks like, and which mistakes are told where."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.identity import ALPHABET, ID_LENGTH
from proxy.core.written_id import GROUP, MistypedId, read_id, write_id

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "written_id.json").read_text("utf-8"))
IDS = st.text(ALPHABET, min_size=ID_LENGTH, max_size=ID_LENGTH)
ONE = VECTORS["ids"][0]["written"]


@pytest.mark.parametrize("row", VECTORS["ids"], ids=lambda row: row["portal_id"][:6])
def test_the_vectors_are_written_and_read(row: dict[str, str]) -> None:
    assert write_id(row["portal_id"]) == row["written"]
    assert read_id(row["written"]) == row["portal_id"]


@pytest.mark.parametrize("row", VECTORS["mistakes"], ids=lambda row: row["mistake"])
def test_a_mistake_is_told_with_its_group(row: dict[str, str]) -> None:
    with pytest.raises(MistypedId, match=f"^group {row['group']} of 18, '"):
        read_id(row["written"])


@given(IDS)
def test_what_is_written_is_read_whatever_was_done_to_it_on_the_way(portal_id: str) -> None:
    written = write_id(portal_id)
    assert written.startswith(portal_id[:GROUP])
    for copied in (written, written.upper(), written.replace("-", " "), written.replace("-", ""),
                   written.replace("-", "-\n"), portal_id, f" {portal_id.upper()}\n"):  # fmt: skip
        assert read_id(copied) == portal_id


@given(IDS, st.randoms(use_true_random=False))
def test_one_wrong_character_is_always_found(portal_id: str, dice: random.Random) -> None:
    written = write_id(portal_id)
    places = [at for at, character in enumerate(written) if character != "-"]
    at = dice.choice(places)
    wrong = dice.choice([character for character in ALPHABET if character != written[at]])
    group = written[:at].count("-") + 1
    with pytest.raises(MistypedId, match=f"^group {group} of 18"):
        read_id(written[:at] + wrong + written[at + 1 :])


@given(IDS, st.integers(0, 16))
def test_two_groups_that_changed_places_are_found(portal_id: str, first: int) -> None:
    groups = write_id(portal_id).split("-")
    if first < 16:
        groups[first], groups[first + 1] = groups[first + 1], groups[first]
        with pytest.raises(MistypedId):
            read_id("-".join(groups))


@pytest.mark.parametrize("text", ["", "8271dd", ONE[:-1], ONE + "a", "Bob", "-" * 200])
def test_what_has_neither_length_is_no_written_id(text: str) -> None:
    assert read_id(text) is None
