"""The table of messages, fed whole, byte by byte and in pieces of any size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.binary_http.driving import cut, one_by_one, read, read_message, reader_for
from tests.core.binary_http.forms import FORMS, Form
from tests.core.binary_http.messages import ROWS, Row

_SMALL = [row for row in ROWS if len(row.forged) + len(row.twin) < 4096]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_forged_message_is_refused_however_it_arrives(row: Row) -> None:
    for pieces in ([row.forged], one_by_one(row.forged)):
        outcome = read(reader_for(row.twin, row.method), pieces)
        assert outcome.error == row.status
        assert not outcome.is_whole


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_its_harmless_twin_is_read_however_it_arrives(row: Row) -> None:
    for pieces in ([row.twin], one_by_one(row.twin)):
        outcome = read(reader_for(row.twin, row.method), pieces)
        assert (outcome.error, outcome.content, len(outcome.heads)) == (None, row.content, 1)
        assert outcome.is_whole
        assert outcome.is_complete


def test_each_row_has_its_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@given(data=st.data(), row=st.sampled_from(_SMALL), forged=st.booleans())
@settings(max_examples=400)
def test_pieces_of_any_size_make_the_same_message(
    data: st.DataObject, row: Row, *, forged: bool
) -> None:
    message = row.forged if forged else row.twin
    whole = read(reader_for(row.twin, row.method), [message])
    places = data.draw(st.lists(st.integers(0, len(message)), max_size=8).map(sorted))
    split = read(reader_for(row.twin, row.method), cut(message, places))
    if forged:
        assert split.error == whole.error == row.status
    else:
        assert split == whole


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_request_is_no_response_and_a_response_no_request(form: Form) -> None:
    other = reader_for(bytes((form.indicator ^ 1,)))
    assert read(other, [form.message()]).error == 400


def test_a_response_to_head_is_one_without_content() -> None:
    row = next(row for row in ROWS if row.method == b"HEAD")
    assert read_message(row.forged, b"GET").is_whole
    assert read_message(row.twin, b"GET").error == 400
