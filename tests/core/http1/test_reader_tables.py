"""The tables of requests and responses, fed whole, byte by byte and in pieces of any size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.http1.grammar import RequestHead, ResponseHead
from tests.core.http1 import requests, responses
from tests.core.http1.driving import cut, one_by_one, read_request, read_response

_SMALL = 4096
_SMALL_REQUESTS = [row for row in requests.ROWS if len(row.forged) + len(row.twin) < _SMALL]
_SMALL_RESPONSES = [row for row in responses.ROWS if len(row.forged) + len(row.twin) < _SMALL]


def _places(size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, size), max_size=8).map(sorted)


@pytest.mark.parametrize("row", requests.ROWS, ids=str)
def test_a_forged_request_is_refused_however_it_arrives(row: requests.Row) -> None:
    for pieces in ([row.forged], one_by_one(row.forged)):
        outcome = read_request(pieces)
        assert outcome.error is not None
        assert outcome.ends == 0
    assert read_request([row.forged]).error == row.status


@pytest.mark.parametrize("row", requests.ROWS, ids=str)
def test_its_harmless_twin_is_read_however_it_arrives(row: requests.Row) -> None:
    for pieces in ([row.twin], one_by_one(row.twin)):
        outcome = read_request(pieces)
        assert (outcome.error, outcome.ends, outcome.body) == (None, 1, row.body)
        (head,) = outcome.heads
        assert isinstance(head, RequestHead)
        assert not any(name.startswith(b"x-ptl-") for name, _ in head.fields)


@pytest.mark.parametrize("row", responses.ROWS, ids=str)
def test_a_forged_response_fails_however_it_arrives(row: responses.Row) -> None:
    whole = read_response([row.forged], row.method, upgrade=row.upgrade, ends=row.until_close)
    assert whole.error is not None
    assert whole.ends == 0
    split = read_response(one_by_one(row.forged), row.method, upgrade=row.upgrade)
    assert split.error is not None
    # What is behind the end can only fail the connection if the end came before it.
    assert split.ends == 0 or row in responses._BODIES


@pytest.mark.parametrize("row", responses.ROWS, ids=str)
def test_its_harmless_twin_is_taken_however_it_arrives(row: responses.Row) -> None:
    for pieces in ([row.twin], one_by_one(row.twin)):
        outcome = read_response(pieces, row.method, upgrade=row.upgrade, ends=row.until_close)
        assert (outcome.error, outcome.ends, outcome.body) == (None, 1, row.body)
        (head,) = outcome.heads
        assert isinstance(head, ResponseHead)
        assert head.status == row.status


@given(data=st.data(), row=st.sampled_from(_SMALL_REQUESTS), forged=st.booleans())
@settings(max_examples=400)
def test_pieces_of_any_size_make_the_same_request(
    data: st.DataObject, row: requests.Row, *, forged: bool
) -> None:
    message = row.forged if forged else row.twin
    whole = read_request([message])
    split = read_request(cut(message, data.draw(_places(len(message)))))
    assert (split.error is None) == (whole.error is None)
    if forged:
        # A mistake may show before the head is whole; nothing different may have been seen.
        assert split.heads in ([], whole.heads) or not whole.heads
        assert split.ends == 0
    else:
        assert split == whole


@given(data=st.data(), row=st.sampled_from(_SMALL_RESPONSES), forged=st.booleans())
@settings(max_examples=400)
def test_pieces_of_any_size_make_the_same_response(
    data: st.DataObject, row: responses.Row, *, forged: bool
) -> None:
    message = row.forged if forged else row.twin
    pieces = cut(message, data.draw(_places(len(message))))
    whole = read_response([message], row.method, upgrade=row.upgrade, ends=row.until_close)
    split = read_response(pieces, row.method, upgrade=row.upgrade, ends=row.until_close)
    assert (split.error is None) == (whole.error is None)
    if not forged:
        assert split == whole


@given(st.data(), st.sampled_from(_SMALL_REQUESTS))
@settings(max_examples=400)
def test_a_request_cut_anywhere_is_never_whole(data: st.DataObject, row: requests.Row) -> None:
    place = data.draw(st.integers(1, len(row.twin) - 1))
    pieces = cut(row.twin[:place], data.draw(_places(place)))
    outcome = read_request(pieces, ends=True)
    assert outcome.ends == 0
    assert row.body.startswith(outcome.body)
    # An empty line in front of a request is nothing yet.
    assert outcome.error == 400 or row.twin[:place] == b"\r\n"


@given(st.data(), st.sampled_from([row for row in _SMALL_RESPONSES if not row.until_close]))
@settings(max_examples=400)
def test_a_response_cut_anywhere_is_never_whole(data: st.DataObject, row: responses.Row) -> None:
    place = data.draw(st.integers(0, len(row.twin) - 1))
    pieces = cut(row.twin[:place], data.draw(_places(place)))
    outcome = read_response(pieces, row.method, upgrade=row.upgrade, ends=True)
    assert outcome.ends == 0
    assert outcome.error is not None
    assert row.body.startswith(outcome.body)
    assert len(outcome.body) < len(row.body) or not outcome.ends


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5).map(sorted))
@settings(max_examples=300)
def test_no_bytes_make_a_reader_raise(data: bytes, places: list[int]) -> None:
    for start in (b"", requests.LINE + requests.HOST, requests.CHUNKED[:-9]):
        read_request(cut(start + data, places), ends=True)
    for start in (b"", responses.OK, responses.CHUNKED[:-9]):
        read_response(cut(start + data, places), ends=True)


@pytest.mark.parametrize("row", responses.ENDED_WITH_HEAD, ids=str)
def test_a_head_that_is_all_of_a_response_ends_it_whatever_follows(row: responses.Row) -> None:
    twin = read_response([row.twin], row.method)
    assert (twin.error, twin.ends, twin.body) == (None, 1, b"")
    for pieces in ([row.forged], one_by_one(row.forged), [row.twin, row.forged[len(row.twin) :]]):
        outcome = read_response(pieces, row.method)
        assert (outcome.heads, outcome.ends, outcome.body) == (twin.heads, 1, b"")
        assert outcome.error is not None, "the connection could be used again"
