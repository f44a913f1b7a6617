"""Messages of frames and frames of messages, against frames that are written here by the RFC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.websocket.frames import FrameFilter, close_frame
from proxy.core.websocket.messages import (
    ABNORMAL,
    NO_STATUS,
    Binary,
    Closing,
    Event,
    MessageReader,
    Ping,
    Text,
    binary_frame,
    pong_frame,
    text_frame,
)
from tests.core.websocket.framing import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    frames_of,
)

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]
MASKS = [b"", MASK, bytes(4), b"\xff\xff\xff\xff"]
_LONGEST_REASON = 123


def _read(pieces: Iterable[bytes]) -> list[Event]:
    reader = MessageReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def _written(frames: Sequence[Frame], mask: bytes = b"") -> bytes:
    return b"".join(frame.raw(mask) for frame in frames)


ROWS: dict[str, tuple[Sequence[Frame], list[Event]]] = {
    "a text": ([Frame(TEXT, b"hello")], [Text(b"hello")]),
    "bytes": ([Frame(BINARY, b"\x00\xff")], [Binary(b"\x00\xff")]),
    "an empty text": ([Frame(TEXT)], [Text(b"")]),
    "no bytes": ([Frame(BINARY)], [Binary(b"")]),
    "a ping": ([Frame(PING, b"you?")], [Ping(b"you?")]),
    "an empty ping": ([Frame(PING)], [Ping(b"")]),
    "the longest ping": ([Frame(PING, b"p" * 125)], [Ping(b"p" * 125)]),
    "pongs": ([Frame(PONG, b"me"), Frame(PONG)], []),
    "a close": ([close(1001, b"bye")], [Closing(1001, "bye")]),
    "a close without a status": ([Frame(CLOSE)], [Closing(NO_STATUS, "")]),
    "a close with half a status": ([Frame(CLOSE, b"\x03")], [Closing(NO_STATUS, "")]),
    "a close without a reason": ([close(1000)], [Closing(1000, "")]),
    "a close with a code that none may have": ([close(0), close(65535)],
                                               [Closing(0, ""), Closing(65535, "")]),
    "the longest reason": ([close(4999, b"r" * 123)], [Closing(4999, "r" * 123)]),
    "a reason of more than ASCII": ([close(1000, "größer".encode())], [Closing(1000, "größer")]),
    "a reason that isn't UTF-8": ([close(1002, b"a\xffb")], [Closing(1002, "a\ufffdb")]),
    "a reason that breaks off": ([close(1002, b"a\xe2\x82")], [Closing(1002, "a\ufffd")]),
    "text that isn't UTF-8": ([Frame(TEXT, b"\xff\xfe")], [Text(b"\xff\xfe")]),
    "two messages": ([Frame(TEXT, b"a"), Frame(BINARY, b"b")], [Text(b"a"), Binary(b"b")]),
    "fragments": (
        [Frame(TEXT, b"a", fin=False), Frame(CONTINUATION, b"b", fin=False),
         Frame(CONTINUATION, b"c")],
        [Text(b"abc")],
    ),
    "a character over two fragments": (
        [Frame(TEXT, b"\xe2", fin=False), Frame(CONTINUATION, b"\x82\xac")], [Text("€".encode())],
    ),
    "empty fragments": (
        [Frame(BINARY, fin=False), Frame(CONTINUATION, fin=False), Frame(CONTINUATION)],
        [Binary(b"")],
    ),
    "control frames within a message": (
        [Frame(BINARY, b"a", fin=False), Frame(PING, b"p"), Frame(PONG, b"q"),
         Frame(CONTINUATION, b"b")],
        [Ping(b"p"), Binary(b"ab")],
    ),
    "a close within a message": (
        [Frame(TEXT, b"a", fin=False), close(1000)], [Closing(1000, "")],
    ),
    "kinds don't stick": (
        [Frame(TEXT, b"a", fin=False), Frame(CONTINUATION, b"b"), Frame(BINARY, b"c", fin=False),
         Frame(CONTINUATION, b"d"), Frame(TEXT, b"e")],
        [Text(b"ab"), Binary(b"cd"), Text(b"e")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("row", ROWS)
def test_frames_become_messages_however_they_arrive(row: str, mask: bytes) -> None:
    frames, events = ROWS[row]
    data = _written(frames, mask)
    assert _read([data]) == events
    assert _read(data[i : i + 1] for i in range(len(data))) == events
    for at in range(1, len(data)):
        assert _read([data[:at], data[at:]]) == events


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_is_read_and_written(size: int, mask: bytes) -> None:
    payload = bytes(i % 251 for i in range(size))
    frame = Frame(BINARY, payload).raw(mask)
    assert binary_frame(payload, mask) == frame
    assert _read([frame[:-1], frame[-1:]]) == [Binary(payload)]
    assert text_frame("x" * size, mask) == Frame(TEXT, b"x" * size).raw(mask)


@pytest.mark.parametrize("wide", [2, 8])
def test_a_length_in_more_bytes_than_it_needs_is_read(wide: int) -> None:
    assert _read([Frame(TEXT, b"hi").raw(MASK, wide=wide)]) == [Text(b"hi")]


@pytest.mark.parametrize("mask", MASKS)
def test_what_is_not_whole_is_not_handed_on(mask: bytes) -> None:
    for frame in (Frame(TEXT, b"hello"), Frame(BINARY, bytes(200)), close(1000), Frame(PING, b"p")):
        data = frame.raw(mask)
        for end in range(len(data)):
            assert _read([data[:end]]) == []


def test_a_message_is_whole_only_with_its_last_fragment() -> None:
    reader = MessageReader()
    assert list(reader.feed(Frame(TEXT, b"a", fin=False).raw())) == []
    assert list(reader.feed(Frame(CONTINUATION, b"b", fin=False).raw())) == []
    assert list(reader.feed(Frame(CONTINUATION).raw())) == [Text(b"ab")]


def test_who_stops_after_an_event_gets_the_next_ones_later() -> None:
    reader = MessageReader()
    events = reader.feed(_written([Frame(TEXT, b"a"), Frame(TEXT, b"b")]) + b"\x81")
    assert next(events) == Text(b"a")
    assert list(reader.feed(b"\x01c")) == [Text(b"b"), Text(b"c")]


def test_each_frame_is_unmasked_with_its_own_mask() -> None:
    data = b"".join(Frame(TEXT, b"hello").raw(mask) for mask in MASKS)
    assert _read([data]) == [Text(b"hello")] * len(MASKS)


@pytest.mark.parametrize("mask", MASKS)
def test_messages_become_frames(mask: bytes) -> None:
    assert text_frame("größer €", mask) == Frame(TEXT, "größer €".encode()).raw(mask)
    assert binary_frame(b"\x00\xff", mask) == Frame(BINARY, b"\x00\xff").raw(mask)
    assert pong_frame(b"you?", mask) == Frame(PONG, b"you?").raw(mask)
    assert close_frame(1001, "bye", mask) == close(1001, b"bye").raw(mask)
    for frame in (text_frame("", mask), binary_frame(b"", mask), pong_frame(b"", mask)):
        assert frame[1:] == (b"\x80" + mask if mask else b"\x00")


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        text_frame("\ud800")


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
)
def test_a_code_that_a_close_may_have_is_sent(code: int) -> None:
    assert close_frame(code, "r") == close(code, b"r").raw()
    assert close_frame(code, "", MASK) == close(code).raw(MASK)


@pytest.mark.parametrize(
    "code",
    [-1, 0, 1, 999, 1004, NO_STATUS, ABNORMAL, 1015, 1016, 2999, 5000, 65535, 65536, 1 << 32],
)
def test_any_other_code_is_not_sent_and_neither_is_its_reason(code: int) -> None:
    assert close_frame(code, "r") == Frame(CLOSE).raw()
    assert close_frame(code, "r", MASK) == Frame(CLOSE).raw(MASK)


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("r" * 123, "r" * 123),
        ("r" * 124, "r" * 123),
        ("r" * 122 + "ß", "r" * 122),
        ("r" * 121 + "€", "r" * 121),
        ("r" * 120 + "€", "r" * 120 + "€"),
        ("\U0001f600" * 31, "\U0001f600" * 30),
    ],
)
def test_a_reason_is_cut_between_characters_to_what_a_close_holds(reason: str, sent: str) -> None:
    frame = close_frame(1000, reason)
    assert frame == close(1000, sent.encode()).raw()
    assert _read([frame]) == [Closing(1000, sent)]


_PAYLOADS = st.binary(max_size=300)
_KEYS = st.sampled_from(MASKS) | st.binary(min_size=4, max_size=4)
_REASONS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@st.composite
def _messages(draw: st.DrawFn) -> tuple[list[Frame], list[Event]]:
    """Return one message in fragments with control frames between them, and what it is read as."""
    is_text = draw(st.booleans())
    parts = draw(st.lists(_PAYLOADS, min_size=1, max_size=4))
    frames, events = [], list[Event]()
    for index, part in enumerate(parts):
        opcode = CONTINUATION if index else TEXT if is_text else BINARY
        for pings in draw(st.lists(st.binary(max_size=125), max_size=1)) if index else ():
            frames += [Frame(PING, pings), Frame(PONG, pings)]
            events.append(Ping(pings))
        frames.append(Frame(opcode, part, fin=index == len(parts) - 1))
    whole = b"".join(parts)
    return frames, [*events, Text(whole) if is_text else Binary(whole)]


def _cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(
    messages=st.lists(_messages(), max_size=4),
    masks=st.lists(_KEYS, min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 3000), max_size=9),
)
def test_where_the_stream_is_cut_makes_no_difference(
    messages: list[tuple[list[Frame], list[Event]]], masks: list[bytes], cuts: list[int]
) -> None:
    frames = [frame for each, _ in messages for frame in each]
    data = b"".join(frame.raw(masks[i % len(masks)]) for i, frame in enumerate(frames))
    assert _read(_cut(data, cuts)) == [event for _, events in messages for event in events]


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_any_bytes_at_all_are_read_alike_and_without_an_error(data: bytes, cuts: list[int]) -> None:
    assert _read(_cut(data, cuts)) == _read([data])


@given(text=_REASONS, data=_PAYLOADS, code=st.integers(-5, 6000), reason=_REASONS, mask=_KEYS)
def test_what_is_written_passes_as_well_formed_and_is_read_again(
    text: str, data: bytes, code: int, reason: str, mask: bytes
) -> None:
    frames = [
        text_frame(text, mask), binary_frame(data, mask), pong_frame(data[:125], mask),
        close_frame(code, reason, mask),
    ]  # fmt: skip
    stream = b"".join(frames)
    frame_filter = FrameFilter(sends_masked=bool(mask), deflate=False, limit=1000)
    assert frame_filter.feed(stream) == stream
    assert frame_filter.violation is None
    found, left = frames_of(stream)
    assert not left
    assert len(found[-1].payload) <= _LONGEST_REASON + 2
    first, second, closing = _read([stream])
    assert (first, second) == (Text(text.encode()), Binary(data))
    assert isinstance(closing, Closing)
    assert closing.code in {code, NO_STATUS}
    assert reason.startswith(closing.reason)
