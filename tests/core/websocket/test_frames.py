"""What passes of a row of frames, where it stops, and where a Close of ours goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.websocket.frames import Close, FrameFilter, State, Violation, close_frame
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

LIMIT = 1000
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]


def _frame_filter(*, client: bool = True, deflate: bool = False, limit: int = LIMIT) -> FrameFilter:
    return FrameFilter(sends_masked=client, deflate=deflate, limit=limit)


def _fed(frame_filter: FrameFilter, pieces: Iterable[bytes]) -> bytes:
    return b"".join(map(frame_filter.feed, pieces))


def _splits(data: bytes) -> Iterable[list[bytes]]:
    """Return ``data`` whole, byte by byte, and in two at every place."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@pytest.mark.parametrize("mask", [MASK, b""])
@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_passes_untouched(size: int, mask: bytes) -> None:
    frame_filter = _frame_filter(client=bool(mask), limit=1 << 20)
    data = Frame(BINARY, b"x" * size).raw(mask) * 2
    assert _fed(frame_filter, [data]) == data
    assert _fed(frame_filter, [data[i : i + 9] for i in range(0, len(data), 9)]) == data
    assert frame_filter.violation is None


GOOD: dict[str, Sequence[Frame]] = {
    "a text": [Frame(TEXT, b"hello")],
    "bytes that are no text": [Frame(TEXT, b"\xff\xfe")],
    "fragments": [
        Frame(TEXT, b"a", fin=False), Frame(CONTINUATION, b"b", fin=False), Frame(CONTINUATION)
    ],
    "empty fragments": [Frame(BINARY, fin=False), Frame(CONTINUATION, fin=False),
                        Frame(CONTINUATION)],
    "a ping within a message": [
        Frame(TEXT, b"a", fin=False), Frame(PING, b"p" * 125), Frame(CONTINUATION, b"b")
    ],
    "a pong that nobody asked for": [Frame(PONG, b"x"), Frame(PONG)],
    "two messages": [Frame(TEXT, b"a"), Frame(BINARY, b"b")],
    "a message as large as can be": [Frame(TEXT, b"a" * LIMIT)],
    "fragments as large as can be": [Frame(TEXT, b"a" * 999, fin=False), Frame(CONTINUATION, b"b")],
    "the next one is counted anew": [
        Frame(TEXT, b"a" * 999, fin=False), Frame(CONTINUATION, b"b"), Frame(TEXT, b"a" * LIMIT)
    ],
    "pings don't count": [
        Frame(TEXT, b"a" * 999, fin=False), Frame(PING, b"p" * 100), Frame(CONTINUATION, b"b")
    ],
    "a close": [Frame(TEXT, b"a"), close(1000, b"bye")],
    "a close without a word": [Frame(CLOSE)],
    "a close with half a code": [Frame(CLOSE, b"\x03")],
    "a close within a message": [Frame(TEXT, fin=False), close(4999)],
}  # fmt: skip
COMPRESSED: dict[str, Sequence[Frame]] = {
    "a compressed message": [Frame(TEXT, b"\xf2H\xcd", rsv=4)],
    "in fragments": [Frame(BINARY, b"a", fin=False, rsv=4), Frame(CONTINUATION, b"b")],
    "and one that isn't": [Frame(TEXT, b"a", rsv=4), Frame(TEXT, b"b")],
}


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("row", [*GOOD, *COMPRESSED])
def test_what_is_well_formed_passes_untouched(row: str, client: bool) -> None:  # noqa: FBT001
    frames = (GOOD | COMPRESSED)[row]
    data = b"".join(frame.raw(MASK if client else b"") for frame in frames)
    for pieces in _splits(data[:300]):
        frame_filter = _frame_filter(client=client, deflate=row in COMPRESSED)
        assert _fed(frame_filter, pieces) + frame_filter.feed(data[300:]) == data
        assert frame_filter.violation is None


_M = MASK
BAD: dict[str, tuple[bytes, bytes, str]] = {
    # what passes before it, what doesn't, why
    "unmasked": (b"", Frame(TEXT, b"a").raw(), "isn't masked"),
    "unmasked and empty": (Frame(TEXT).raw(_M), Frame(TEXT).raw(), "isn't masked"),
    **{
        f"opcode {code}": (Frame(TEXT, b"a").raw(_M), Frame(code, b"a").raw(_M), "opcode")
        for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    **{f"rsv {rsv}": (b"", Frame(TEXT, rsv=rsv).raw(_M), "reserved bit") for rsv in range(1, 8)},
    "rsv on a ping": (b"", Frame(PING, rsv=4).raw(_M), "reserved bit"),
    "a ping of 126": (b"", Frame(PING, b"a" * 126).raw(_M), "control frame of more"),
    "a ping of 10 in two bytes": (b"", Frame(PING, b"a" * 10).raw(_M, wide=2), "control frame of"),
    "a close in fragments": (b"", Frame(CLOSE, fin=False).raw(_M), "in fragments"),
    "a ping in fragments": (b"", Frame(PING, fin=False).raw(_M), "in fragments"),
    "a pong in fragments": (b"", Frame(PONG, fin=False).raw(_M), "in fragments"),
    "a continuation of nothing": (b"", Frame(CONTINUATION, b"a").raw(_M), "no message"),
    "a continuation behind a message": (
        Frame(TEXT, b"a").raw(_M), Frame(CONTINUATION, b"a").raw(_M), "no message"
    ),
    "a message within a message": (
        Frame(TEXT, b"a", fin=False).raw(_M), Frame(TEXT, b"b").raw(_M), "within"
    ),
    "125 in two bytes": (b"", Frame(TEXT, b"a" * 125).raw(_M, wide=2), "more bytes"),
    "125 in eight": (b"", Frame(TEXT, b"a" * 125).raw(_M, wide=8), "more bytes"),
    "65535 in eight": (b"", Frame(TEXT, b"a" * 65535).raw(_M, wide=8), "more bytes"),
    "a negative length": (b"", b"\x81\xff" + b"\xff" * 8 + _M, "negative"),
    "HTTP": (b"", b"GET /private HTTP/1.1\r\nHost: a\r\n\r\n", "opcode"),
}  # fmt: skip
TOO_BIG: dict[str, tuple[bytes, bytes]] = {
    "one frame": (Frame(TEXT, b"a").raw(_M), b"\x82\xfe\x03\xe9" + _M),
    "one of 4 EiB": (b"", b"\x82\xff\x40" + bytes(7) + _M),
    "fragments": (Frame(TEXT, b"a" * LIMIT, fin=False).raw(_M), Frame(CONTINUATION, b"b").raw(_M)),
}


@pytest.mark.parametrize("row", [*BAD, *TOO_BIG])
def test_nothing_passes_from_a_bad_header_on(row: str) -> None:
    good, bad, *_ = (BAD | TOO_BIG)[row]
    for pieces in _splits(good[-20:] + bad[:300] + b"more"):
        frame_filter = _frame_filter()
        assert frame_filter.feed(good[:-20]) == good[:-20]
        assert _fed(frame_filter, pieces) == good[-20:]
        assert frame_filter.violation is not None
        code = Close.TOO_BIG if row in TOO_BIG else Close.PROTOCOL_ERROR
        assert frame_filter.violation.code is code
        if row in BAD:
            assert BAD[row][2] in frame_filter.violation.detail
        assert frame_filter.feed(Frame(TEXT).raw(MASK)) == b""


def test_a_servers_frames_are_never_masked() -> None:
    frame_filter = _frame_filter(client=False)
    good = Frame(TEXT, b"a").raw()
    assert frame_filter.feed(good + Frame(TEXT, b"a").raw(MASK)) == good
    assert frame_filter.violation == Violation(
        Close.PROTOCOL_ERROR, "a server's frame that is masked"
    )


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(TEXT, rsv=2)],
        [Frame(TEXT, rsv=1)],
        [Frame(TEXT, rsv=6)],
        [Frame(PING, rsv=4)],
        [Frame(CLOSE, rsv=4)],
        [Frame(TEXT, fin=False, rsv=4), Frame(CONTINUATION, rsv=4)],
        [Frame(TEXT, fin=False), Frame(CONTINUATION, rsv=4)],
    ],
)
def test_compression_owns_one_bit_on_the_first_frame_of_a_message(frames: list[Frame]) -> None:
    frame_filter = _frame_filter(deflate=True)
    for frame in frames:
        assert frame_filter.violation is None
        frame_filter.feed(frame.raw(MASK))
    assert frame_filter.violation is not None


def test_nothing_passes_behind_a_close() -> None:
    data = close(1000).raw(MASK)
    for pieces in _splits(data + Frame(TEXT, b"a").raw(MASK) + b"GET / HTTP/1.1\r\n"):
        frame_filter = _frame_filter()
        assert _fed(frame_filter, pieces) == data
        assert frame_filter.state is State.OVER
        assert frame_filter.violation is None
        assert not frame_filter.is_closed_by_us
        assert frame_filter.close_now(b"ours") == b""


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65536])
def test_only_a_header_is_ever_held_back(size: int) -> None:
    frame = Frame(BINARY, b"x" * size).raw(MASK)
    header = len(frame) - size
    frame_filter = _frame_filter(limit=1 << 20)
    for end in range(header):
        assert frame_filter.feed(frame[end : end + 1]) == (
            frame[:header] if end == header - 1 else b""
        )
    for end in range(header, min(len(frame), 300)):
        assert frame_filter.feed(frame[end : end + 1]) == frame[end : end + 1]


# Our own Close.


def test_our_close_is_masked_towards_an_app() -> None:
    assert close_frame(Close.GOING_AWAY) == close(1001).raw()
    assert close_frame(Close.TOO_BIG, mask=MASK) == close(1009).raw(MASK)


def test_our_close_goes_out_between_two_frames_at_once() -> None:
    frame_filter = _frame_filter()
    frame = Frame(TEXT, b"a").raw(MASK)
    assert frame_filter.feed(frame + frame[:3]) == frame  # a header that isn't whole isn't out yet
    assert frame_filter.close_now(b"ours") == b"ours"
    assert frame_filter.is_closed_by_us
    assert frame_filter.feed(frame[3:]) == b""
    assert frame_filter.close_now(b"ours") == b""


@pytest.mark.parametrize("sent", range(7, 11))
def test_our_close_waits_for_the_end_of_a_payload(sent: int) -> None:
    frame = Frame(TEXT, b"hello").raw(MASK)
    rest = frame[sent:] + frame
    for pieces in _splits(rest):
        frame_filter = _frame_filter()
        assert frame_filter.feed(frame[:sent]) == frame[:sent]
        assert frame_filter.close_now(b"ours") == b""
        assert not frame_filter.is_closed_by_us
        assert _fed(frame_filter, pieces) == frame[sent:] + b"ours"
        assert frame_filter.is_closed_by_us


def test_our_close_takes_the_place_of_the_one_that_comes() -> None:
    text, theirs = Frame(TEXT, b"hello").raw(), close(1000).raw()
    for pieces in _splits(text + theirs + text):
        frame_filter = _frame_filter(client=False)
        frame_filter.close_with(b"ours")
        assert _fed(frame_filter, pieces) == text + b"ours"
        assert frame_filter.state is State.OVER
        assert frame_filter.is_closed_by_us


def test_a_close_that_is_on_its_way_isn_t_replaced() -> None:
    theirs = close(1000, b"bye").raw()
    frame_filter = _frame_filter(client=False)
    assert frame_filter.feed(theirs[:4]) == theirs[:4]
    frame_filter.close_with(b"ours")
    assert frame_filter.close_now(b"ours") == b""
    assert frame_filter.feed(theirs[4:]) == theirs[4:]
    assert not frame_filter.is_closed_by_us


def test_behind_a_violation_only_our_close_passes() -> None:
    frame_filter = _frame_filter()
    assert frame_filter.feed(Frame(TEXT).raw()) == b""
    assert frame_filter.violation is not None
    assert frame_filter.close_now(b"ours") == b"ours"
    assert frame_filter.state is State.OVER


# Whatever comes.

_FRAMES = st.builds(
    Frame,
    st.sampled_from([0, 1, 2, 8, 9, 10, 3, 15]),
    st.binary(max_size=130),
    st.booleans(),
    st.sampled_from([0, 0, 0, 4, 2]),
)
_WIRE = st.lists(_FRAMES, max_size=6).map(lambda fs: b"".join(f.raw(MASK) for f in fs))


@given(data=st.one_of(_WIRE, st.binary(max_size=60)), cuts=st.lists(st.integers(0, 900)),
       deflate=st.booleans())  # fmt: skip
def test_any_split_gives_the_same_result(data: bytes, cuts: list[int], deflate: bool) -> None:  # noqa: FBT001
    whole, split = (_frame_filter(deflate=deflate, limit=200) for _ in range(2))
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    passed = whole.feed(data)
    pieces = [data[a:b] for a, b in pairwise(ends)]
    assert _fed(split, pieces) == passed
    assert (split.violation, split.state) == (whole.violation, whole.state)


@given(data=st.one_of(_WIRE, st.binary(max_size=60)))
def test_what_passes_is_what_another_parser_finds_well_formed(data: bytes) -> None:
    frame_filter = _frame_filter(limit=200)
    passed = frame_filter.feed(data)
    assert data.startswith(passed)
    frames, rest = frames_of(passed)
    assert not rest or len(rest) >= 6  # a payload that isn't whole, never a header
    message = 0
    is_open = False
    for at, frame in enumerate(frames):
        assert frame.opcode in (0, 1, 2, 8, 9, 10)
        assert frame.rsv == 0
        if frame.opcode & 8:
            assert frame.fin
            assert len(frame.payload) <= 125
            assert frame.opcode != CLOSE or at == len(frames) - 1
        else:
            assert is_open is (frame.opcode == CONTINUATION)
            message = len(frame.payload) + (message if is_open else 0)
            assert message <= 200
            is_open = not frame.fin


@given(
    data=_WIRE,
    at=st.integers(0, 900),
    now=st.booleans(),
)
def test_our_close_never_stands_in_a_payload(
    data: bytes,
    at: int,
    now: bool,  # noqa: FBT001
) -> None:
    frame_filter, ours = _frame_filter(deflate=True), close(1001).raw(MASK)
    passed = frame_filter.feed(data[:at])
    if now:
        passed += frame_filter.close_now(ours)
    else:
        frame_filter.close_with(ours)
    passed += frame_filter.feed(data[at:])
    if frame_filter.is_closed_by_us:
        frames, rest = frames_of(passed)
        assert rest == b""
        assert frames[-1] == close(1001)
        assert [frame.opcode for frame in frames].count(CLOSE) == 1


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("first", [0x82, 0x89, 0x8A, 0xC1])
def test_a_flood_of_short_frames_is_not_read_header_by_header(
    client: bool,  # noqa: FBT001
    first: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = 0
    read = FrameFilter._header

    def counting(self: FrameFilter, data: bytes, start: int) -> int:
        nonlocal headers
        headers += 1
        return read(self, data, start)

    monkeypatch.setattr(FrameFilter, "_header", counting)
    frame = bytes((first, client << 7)) + b"mask" * client
    passing = FrameFilter(sends_masked=client, deflate=True, limit=10)
    assert passing.feed(frame * 2000) == frame * 2000
    assert headers <= 2


@pytest.mark.parametrize("first", [0x02, 0x42])
def test_short_frames_of_one_message_have_its_limit(first: int) -> None:
    fragment, last = b"\x00\x05hello", b"\x80\x05hello"
    for count, is_refused in ((3, False), (4, True)):
        passing = FrameFilter(sends_masked=False, deflate=True, limit=20)
        data = bytes((first, 5)) + b"hello" + fragment * (count - 1) + last
        passing.feed(data[: -len(last)] if not is_refused else data)
        assert (passing.violation is not None) is is_refused
    passing = FrameFilter(sends_masked=False, deflate=True, limit=20)
    assert passing.feed(bytes((first | 0x80, 5)) + b"hello") != b""
    assert passing.feed((bytes((first | 0x80, 5)) + b"hello") * 20) != b""
    assert passing.violation is None, "each is a message of its own"
