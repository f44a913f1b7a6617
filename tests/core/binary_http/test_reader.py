"""What the table leaves out: how much is held, what is copied, where a message may break off."""

import pytest

from proxy.core.binary_http.body import Body
from proxy.core.binary_http.message import COMPLETE, Malformed, RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader, ResponseReader
from proxy.core.binary_http.writer import request_head
from proxy.core.http1.grammar import MAX_HEAD
from tests.core.binary_http.driving import read, read_message, reader_for
from tests.core.binary_http.forms import FORMS, REQUESTS, RESPONSES, Form, integer, lines, string

_FIELDS = [(b"x-a", b"b"), (b"content-type", b"text/plain"), (b"x-c", b"")]


def _whole_prefixes(message: bytes) -> list[int]:
    return [
        size
        for size in range(len(message) + 1)
        if read(reader_for(message), [message[:size]]).is_whole
    ]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_message_is_read(form: Form) -> None:
    outcome = read_message(form.message(_FIELDS, [b"he", b"llo"]))
    (head,) = outcome.heads
    assert head.fields == tuple(_FIELDS)
    assert outcome.content == b"hello"
    if isinstance(head, RequestHead):
        assert head == RequestHead(b"GET", b"https", b"a.example", b"/x?y", tuple(_FIELDS))
    else:
        assert head == ResponseHead(200, tuple(_FIELDS))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_message_that_was_cut_is_whole_only_where_the_form_allows_it(form: Form) -> None:
    for fields in (_FIELDS, [*_FIELDS, (b"content-length", b"5")]):
        message = form.message(fields) + bytes(3)
        behind_content = len(message) - 4
        whole = list(range(behind_content, len(message) + 1))
        if form.is_known:
            # RFC 9292 lets a sender leave out what is empty at the end, so a cut between two parts
            # can't be told from that here: the final chunk of the envelope tells.
            cuts = [len(form.control()), len(form.head(fields))]
            whole = cuts[: 2 if fields is _FIELDS else 1] + whole
        assert _whole_prefixes(message) == whole


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_empty_parts_at_the_end_may_be_left_out_of_a_message_of_known_length(form: Form) -> None:
    message = form.message((), ())
    control = len(form.control())
    first = control if form.is_known else control + 2
    assert _whole_prefixes(message) == list(range(first, len(message) + 1))
    outcome = read_message(message[:first])
    (head,) = outcome.heads
    assert (head.fields, outcome.content, outcome.is_complete) == ((), b"", True)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_complete_is_said_only_behind_the_terminators(form: Form) -> None:
    message = form.message(_FIELDS)
    reader = reader_for(message)
    events = [event for byte in message[:-1] for event in reader.feed(bytes((byte,)))]
    assert COMPLETE not in events
    assert reader.feed(message[-1:]) == [COMPLETE]
    assert reader.feed(bytes(1000)) == []
    assert reader.end() == []


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_nothing_is_read_after_an_error(form: Form) -> None:
    for start in (b"\x05", form.message(_FIELDS)[:-1] + b"\1", form.head([(b"X", b"")])):
        reader = reader_for(form.message())
        with pytest.raises(Malformed):
            reader.feed(start)
        with pytest.raises(Malformed):
            reader.feed(form.message())
        with pytest.raises(Malformed):
            reader.end()


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_nothing_is_read_after_an_early_end(form: Form) -> None:
    message = form.message(_FIELDS)
    for size in (0, 5, len(form.head(_FIELDS)) + 2):
        reader = reader_for(message)
        reader.feed(message[:size])
        for _ in range(2):
            with pytest.raises(Malformed):
                reader.end()
        with pytest.raises(Malformed):
            reader.feed(message[size:])


@pytest.mark.parametrize("width", [4, 8])
def test_a_head_that_announces_too_much_is_refused_before_it_arrives(width: int) -> None:
    too_much = integer(MAX_HEAD, width)
    known_request, request = (form.control() for form in REQUESTS)
    known_response, response = (form.control() for form in RESPONSES)
    for start in (
        b"\2", b"\2\3GET", b"\2\3GET\5https", b"\2\3GET\5https\1a", request, request + b"\1x",
        request + lines(_FIELDS), response, response + b"\1x", known_request, known_response,
        b"\3\x40\x64", b"\1\x40\x64",
    ):  # fmt: skip
        reader = reader_for(start)
        assert reader.feed(start) == []
        with pytest.raises(Malformed, match="larger than") as refused:
            reader.feed(too_much)
        assert refused.value.status == 431
        assert len(reader._held) == 0


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_no_more_than_a_head_is_ever_held(form: Form) -> None:
    message = form.head([(b"x", b"y" * 30000), (b"z", b"y" * 30000)]) + form.content([b"c" * 70000])
    reader = reader_for(message)
    most = 0
    for start in range(0, len(message), 1000):
        reader.feed(message[start : start + 1000])
        most = max(most, len(reader._held))
    assert most <= (60200 if form.is_known else 30200)
    assert len(reader._held) == 0


@pytest.mark.parametrize("form", RESPONSES, ids=str)
def test_informational_responses_share_the_limit_of_a_head(form: Form) -> None:
    early = integer(103) + form.section([(b"link", b"x" * (MAX_HEAD // 4))])
    final = form.message()
    assert read_message(final[:1] + 3 * early + final[1:]).is_whole
    assert read_message(final[:1] + 4 * early + final[1:]).error == 431


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_content_that_fills_a_piece_is_handed_on_without_a_copy(form: Form) -> None:
    reader = reader_for(form.message())
    (head,) = reader.feed(form.head() + integer(2**62 - 1))
    assert isinstance(head, RequestHead | ResponseHead)
    for _ in range(3):
        piece = bytes(65536)
        (same,) = reader.feed(piece)
        assert same is piece
    assert len(reader._held) == 0
    with pytest.raises(Malformed, match="breaks off"):
        reader.end()


@pytest.mark.parametrize("form", [form for form in FORMS if not form.is_known], ids=str)
def test_content_in_very_small_pieces_is_handed_on_in_one(form: Form) -> None:
    reader = reader_for(form.message())
    head, content, complete = reader.feed(form.message((), [b"a"] * 10000))
    assert isinstance(head, RequestHead | ResponseHead)
    assert (content, complete) == (b"a" * 10000, COMPLETE)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_too_much_content_is_refused_before_any_of_it_is_handed_on(form: Form) -> None:
    for announced in (6, 2**62 - 1):
        reader = reader_for(form.message())
        (head,) = reader.feed(form.head([(b"content-length", b"5")]))
        assert isinstance(head, RequestHead | ResponseHead)
        with pytest.raises(Malformed, match="longer"):
            reader.feed(integer(announced))


@pytest.mark.parametrize("section", [b"\1x", lines(_FIELDS) + b"\1x", b"\1x\1", b"\0", b"\1"])
def test_a_section_of_known_length_holds_whole_lines(section: bytes) -> None:
    for form in FORMS:
        if form.is_known:
            with pytest.raises(Malformed, match="doesn't end where its lines do"):
                reader_for(form.message()).feed(form.control() + string(section))


@pytest.mark.parametrize("form", RESPONSES, ids=str)
def test_what_a_bodiless_response_announces_is_checked_for_form_all_the_same(form: Form) -> None:
    message = form.message([(b"content-length", b"5, 5")], ())
    assert read_message(message, b"HEAD").error == 400


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_integers_may_be_as_wide_as_they_like(form: Form, width: int) -> None:
    def wide(data: bytes) -> bytes:
        return string(data, width)

    control = (b"GET", b"https", b"a.example", b"/x?y") if form.is_request else ()
    status = b"" if form.is_request else integer(200, max(width, 2))
    fields = b"".join(wide(name) + wide(value) for name, value in _FIELDS)
    end = integer(0, width)
    start = integer(form.indicator, width) + b"".join(map(wide, control)) + status
    if form.is_known:
        message = start + wide(fields) + wide(b"hello") + end
    else:
        message = start + fields + end + wide(b"hello") + end + end
    outcome = read(RequestReader() if form.is_request else ResponseReader(b"GET"), [message])
    assert outcome == read_message(form.message(_FIELDS))


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_flood_of_tiny_pieces_is_read_in_few_steps(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    read = Body.read

    def counting(self: Body, data: bytes, position: int, pieces: list[bytes]) -> int:
        nonlocal steps
        steps += 1
        return read(self, data, position, pieces)

    monkeypatch.setattr(Body, "read", counting)
    form = {1: 0, 2: 1, 4: 2, 8: 3}[width] << (8 * width - 2)
    piece = (form | 1).to_bytes(width, "big") + b"x"
    head = request_head(RequestHead(b"POST", b"https", b"a.example", b"/x", ()))
    reader = RequestReader()
    assert reader.feed(head + piece * 3000 + b"\0\0")[1:] == [b"x" * 3000, COMPLETE]
    assert steps < 10
