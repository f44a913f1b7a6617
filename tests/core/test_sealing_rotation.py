"""When a sealing key is made, offered and deleted: the rules alone, over any clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.identity_document import BACKDATED, LIFETIME, SKEW
from proxy.core.sealing_rotation import (
    LONGEST_ROTATION,
    MARGIN,
    SHORTEST_ROTATION,
    Age,
    Plan,
    free_key_ids,
    is_over,
    plan,
    use_until,
)

NOW = 1_700_000_000
DAY = 86_400
END = DAY + LIFETIME + MARGIN

ROTATIONS = st.integers(SHORTEST_ROTATION, LONGEST_ROTATION)
MADE = st.integers(NOW - 2 * LONGEST_ROTATION, NOW + 1000)
KEYS = st.dictionaries(
    st.integers(0, 255),
    st.builds(Age, MADE, st.floats(-10, 2 * LONGEST_ROTATION, allow_nan=False)),
    max_size=8,
)


def made(*ages: float) -> dict[int, Age]:
    """Return keys of these ages in seconds, numbered from 0."""
    return {key_id: Age(int(NOW - age)) for key_id, age in enumerate(ages)}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (made(), Plan(None, frozenset(), is_due=True)),
        (made(0), Plan(0, frozenset(), is_due=False)),
        (made(DAY - 1), Plan(0, frozenset(), is_due=False)),
        (made(DAY), Plan(0, frozenset(), is_due=True)),
        (made(DAY, 0), Plan(1, frozenset(), is_due=False)),
        (made(0, DAY), Plan(0, frozenset(), is_due=False)),
        # No new one could be made: offered as long as it may be used, and kept a little longer.
        (made(DAY + LIFETIME - 1), Plan(0, frozenset(), is_due=True)),
        (made(DAY + LIFETIME), Plan(None, frozenset(), is_due=True)),
        (made(END - 1), Plan(None, frozenset(), is_due=True)),
        (made(END), Plan(None, frozenset({0}), is_due=True)),
        (made(END, DAY, 0), Plan(2, frozenset({0}), is_due=False)),
        # A clock was set back since it was made.
        (made(-MARGIN), Plan(0, frozenset(), is_due=False)),
        (made(-MARGIN - 1), Plan(None, frozenset({0}), is_due=True)),
        (made(-DAY, 5), Plan(1, frozenset({0}), is_due=False)),
    ],
)
def test_what_becomes_of_the_keys(keys: dict[int, Age], expected: Plan) -> None:
    assert plan(keys, NOW, DAY) == expected


def test_of_two_keys_made_at_once_everybody_offers_the_same() -> None:
    keys = {7: Age(NOW), 200: Age(NOW)}
    assert plan(keys, NOW, DAY).offered == plan(dict(reversed(keys.items())), NOW, DAY).offered


def test_a_clock_that_is_set_back_doesnt_make_a_key_younger() -> None:
    assert plan({1: Age(NOW, DAY)}, NOW, DAY).is_due
    assert plan({1: Age(NOW, END)}, NOW, DAY).over == {1}
    assert use_until(Age(NOW, 1000.0), NOW, DAY) == NOW + DAY + LIFETIME - 1000
    assert use_until(Age(NOW - 1000, 0.0), NOW, DAY) == NOW - 1000 + DAY + LIFETIME


@given(MADE, st.floats(0, 1), ROTATIONS)
def test_two_clocks_that_agree_name_one_second(made_at: int, off: float, rotation: int) -> None:
    age = Age(made_at, NOW + off - made_at)
    assert use_until(age, NOW + off, rotation) == made_at + rotation + LIFETIME


@given(KEYS, ROTATIONS)
def test_what_is_offered_may_be_used_and_is_there(keys: dict[int, Age], rotation: int) -> None:
    decided = plan(keys, NOW, rotation)
    assert decided.over <= keys.keys()
    if decided.offered is None:
        assert decided.is_due
        return
    assert decided.offered not in decided.over
    until = use_until(keys[decided.offered], NOW, rotation)
    assert until > NOW
    # Whoever uses it until the last moment, by a clock that is a little slow, is still answered.
    assert not is_over(keys[decided.offered], until + MARGIN - 1, rotation)


@given(MADE, ROTATIONS)
def test_no_key_is_there_for_longer_than_a_rotation_an_hour_and_two_minutes(
    made_at: int, rotation: int
) -> None:
    assert is_over(Age(made_at), made_at + rotation + 3600 + 120, rotation)
    assert not is_over(Age(made_at), made_at + rotation + 3600 + 119, rotation)


def test_a_key_outlives_every_document_that_names_it_wherever_its_reader_got_the_time() -> None:
    last_named = NOW + DAY  # from then on documents name the next one
    expires = last_named - BACKDATED + LIFETIME
    slowest_reader = BACKDATED + SKEW  # a slower one refuses the document
    assert not is_over(Age(NOW), expires + slowest_reader, DAY)


def test_a_new_key_gets_an_id_that_no_other_has() -> None:
    assert free_key_ids([]) == list(range(256))
    assert free_key_ids(range(255)) == [255]
    assert free_key_ids(range(256)) == []
