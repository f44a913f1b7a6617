"""What holds for every message, and for bytes that are none."""

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.binary_http.grammar import FORBIDDEN, SCHEMES
from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.writer import END, content, padding, request_head, response_head
from tests.core.binary_http.driving import cut, read, read_message, reader_for
from tests.core.binary_http.forms import FORMS, Form

_TOKEN = st.sampled_from(list(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"))
_NAMES = (
    st.lists(_TOKEN, min_size=1, max_size=80)
    .map(bytes)
    .filter(lambda name: name not in FORBIDDEN | {b"content-length"})
)
_VALUE_BYTES = st.sampled_from([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_VALUES = st.lists(_VALUE_BYTES, max_size=90).map(lambda value: bytes(value).strip(b" \t"))
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=6).map(tuple)
_VISIBLE = st.lists(st.integers(0x21, 0x7E), max_size=70).map(bytes)
_METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"PROPFIND", b"x"])
_REQUESTS = st.builds(
    RequestHead,
    _METHODS,
    st.sampled_from(sorted(SCHEMES)),
    _VISIBLE.filter(bool),
    _VISIBLE.map(lambda target: b"/" + target),
    _FIELDS,
)
_RESPONSES = st.builds(ResponseHead, st.integers(200, 599), _FIELDS)
_PIECES = st.lists(st.binary(max_size=100), max_size=5)
_SPLITS = st.lists(st.integers(1, 60), max_size=40)


def _split(data: bytes, sizes: list[int]) -> list[bytes]:
    return cut(data, [place for place in accumulate(sizes) if place < len(data)])


@given(head=_REQUESTS, pieces=_PIECES, sizes=_SPLITS)
def test_a_request_that_is_written_is_read_in_any_pieces(
    head: RequestHead, pieces: list[bytes], sizes: list[int]
) -> None:
    message = request_head(head) + b"".join(map(content, pieces)) + END
    message += bytes(padding(len(message)))
    outcome = read(reader_for(message), _split(message, sizes))
    assert (outcome.heads, outcome.content, outcome.is_whole) == ([head], b"".join(pieces), True)


@given(head=_RESPONSES, method=_METHODS, pieces=_PIECES, sizes=_SPLITS)
def test_a_response_that_is_written_is_read_in_any_pieces(
    head: ResponseHead, method: bytes, pieces: list[bytes], sizes: list[int]
) -> None:
    if method == b"HEAD" or head.status in (204, 304):
        pieces = []
    message = response_head(head) + b"".join(map(content, pieces)) + END
    message += bytes(padding(len(message)))
    outcome = read(reader_for(message, method), _split(message, sizes))
    assert (outcome.heads, outcome.content, outcome.is_whole) == ([head], b"".join(pieces), True)


@given(form=st.sampled_from(FORMS), fields=_FIELDS, pieces=_PIECES)
def test_both_lengths_read_alike(
    form: Form, fields: tuple[tuple[bytes, bytes], ...], pieces: list[bytes]
) -> None:
    pieces = [piece for piece in pieces if piece]
    other = Form(form.is_request, not form.is_known)
    one = read_message(form.message(fields, pieces))
    assert one == read_message(other.message(fields, pieces))
    assert one.is_whole


@given(
    form=st.sampled_from(FORMS),
    head=st.booleans(),
    data=st.binary(max_size=200),
    sizes=_SPLITS,
)
@settings(max_examples=500)
def test_random_bytes_are_refused_or_read_and_nothing_else(
    form: Form, data: bytes, sizes: list[int], *, head: bool
) -> None:
    message = (form.head() if head else form.control()) + data
    whole = read_message(message)
    split = read(reader_for(message), _split(message, sizes))
    assert whole.is_whole != (whole.error is not None)
    assert (split.is_whole, split.error) == (whole.is_whole, whole.error)
    if whole.is_whole:
        assert split == whole


_FIELDS_OF_EACH_KIND = ((b"x-a", b"b"), (b"content-length", b"70"), (b"x-long", b"y" * 70))
_MUTATED = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=2)), min_size=1, max_size=4
)


@given(form=st.sampled_from(FORMS), mutations=_MUTATED, sizes=_SPLITS)
@settings(max_examples=800)
def test_mutated_messages_are_refused_or_read_alike_in_any_pieces(
    form: Form, mutations: list[tuple[int, int, bytes]], sizes: list[int]
) -> None:
    message = form.message(_FIELDS_OF_EACH_KIND, [b"c" * 65, b"hello"]) + bytes(20)
    for place, dropped, put in mutations:
        start = place % len(message)
        message = message[:start] + put + message[start + dropped :]
    message = bytes((form.indicator,)) + message[1:]
    whole = read_message(message)
    split = read(reader_for(message), _split(message, sizes))
    assert (split.is_whole, split.error) == (whole.is_whole, whole.error)
    if whole.is_whole:
        assert split == whole
        (head,) = whole.heads
        assert all(name.islower() or not name.isalpha() for name, _ in head.fields)
        lengths = [int(value) for name, value in head.fields if name == b"content-length"]
        assert not lengths or lengths == [len(whole.content)]
