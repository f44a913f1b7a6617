"""A message written, sealed, padded, opened and read: the two layers of a sealed call together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.binary_http.message import COMPLETE, Malformed, RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader, ResponseReader
from proxy.core.binary_http.writer import (
    END,
    SMALLEST_PADDED,
    content,
    padding,
    request_head,
    response_head,
)
from proxy.core.sealing.chunks import LARGEST_CHUNK, CannotOpen
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import Event, MessageOpener, MessageSealer
from proxy.core.sealing.request import RequestOpener, RequestSealer

KEY = SealingKey(bytes(range(32)))
CONFIG = KeyConfig(7, KEY.public, (Aead.AES_128_GCM,))
HEAD = RequestHead(b"POST", b"https", b"app.example", b"/a?b", ((b"x-a", b"1"),))
RESPONSE = ResponseHead(200, ((b"x-b", b"2"),))
TAG = 16


def pair(largest: int = LARGEST_CHUNK) -> tuple[MessageSealer, MessageOpener]:
    """Return the two ends of a request with ``HEAD``."""
    sealer = RequestSealer(CONFIG, ephemeral=b"e" * 32, largest=largest)
    opener = RequestOpener(lambda key_id: KEY if key_id == CONFIG.key_id else None)
    return MessageSealer(sealer, request_head(HEAD)), MessageOpener(opener, RequestReader())


def opened(opener: MessageOpener, data: bytes, cut: int = 1 << 30) -> list[Event]:
    """Return all events of a whole message that comes in pieces of ``cut`` bytes."""
    events = [e for at in range(0, len(data), cut) for e in opener.feed(data[at : at + cut])]
    return events + opener.end()


def body_of(events: list[Event]) -> bytes:
    """Return the content of a message that begins with ``HEAD`` and is complete."""
    assert events[0] == HEAD
    assert events.count(COMPLETE) == 1
    return b"".join(event for event in events[1:] if isinstance(event, bytes))


def chunk_sizes(data: bytes, header: int) -> list[int]:
    """Return the plaintext sizes of a sealed message's chunks."""
    sizes, at = [], header
    while length := int.from_bytes(data[at : at + (width := 1 << (data[at] >> 6))], "big"):
        length &= (1 << (8 * width - 2)) - 1
        sizes.append(length - TAG)
        at += width + length
    return [*sizes, len(data) - at - 1 - TAG]


@pytest.mark.parametrize("cut", [1, 7, 1 << 30])
def test_what_was_put_in_comes_out(cut: int) -> None:
    sealer, opener = pair()
    sealer.add(b"one")
    data = sealer.flush()
    sealer.add(b"two")
    sealer.add(b"")
    sealer.add(b"three")
    data += sealer.flush() + sealer.end()
    assert body_of(opened(opener, data, cut)) == b"onetwothree"


def test_a_message_that_is_never_flushed_is_one_final_chunk() -> None:
    sealer, opener = pair()
    sealer.add(b"all of it")
    data = sealer.end()
    assert chunk_sizes(data, 39) == [SMALLEST_PADDED]
    assert opener.feed(data) == []
    assert body_of(opener.end()) == b"all of it"


def test_the_head_can_go_before_its_body_is_there() -> None:
    sealer, opener = pair()
    assert opener.feed(sealer.flush()) == [HEAD]
    sealer.add(b"later")
    assert opener.feed(sealer.flush()) == [b"later"]
    assert opener.feed(sealer.end()) == []
    assert opener.end() == [COMPLETE]


def test_there_is_nothing_to_flush_twice_and_the_header_goes_once() -> None:
    sealer, _ = pair()
    first = sealer.flush()
    assert first.startswith(bytes((CONFIG.key_id,)))
    assert sealer.flush() == b""
    sealer.add(b"")
    assert sealer.flush() == b""
    assert not sealer.end().startswith(bytes((CONFIG.key_id, 0, 0x20)))


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans())), st.integers(1, 400))
def test_however_it_is_added_flushed_and_cut_it_is_the_same(
    steps: list[tuple[bytes, bool]], cut: int
) -> None:
    sealer, opener = pair(largest=64)
    data = b""
    for piece, is_flushed in steps:
        sealer.add(piece)
        if is_flushed:
            data += sealer.flush()
    data += sealer.end()
    events = opened(opener, data, cut)
    assert body_of(events) == b"".join(piece for piece, _ in steps)
    assert b"" not in events


@given(st.binary(max_size=3000), st.lists(st.integers(1, 900)))
def test_the_size_on_the_wire_is_padded_however_it_was_flushed(
    body: bytes, cuts: list[int]
) -> None:
    sealer, _ = pair()
    data, written = sealer.flush(), len(request_head(HEAD))
    for cut in cuts:
        piece, body = body[:cut], body[cut:]
        sealer.add(piece)
        data += sealer.flush()
        written += len(content(piece))
    sealer.add(body)
    data += sealer.end()
    written += len(content(body)) + len(END)
    assert sum(chunk_sizes(data, 39)) == written + padding(written) >= SMALLEST_PADDED


def test_bodies_that_differ_a_little_look_alike() -> None:
    sizes = set()
    for length in range(SMALLEST_PADDED - len(request_head(HEAD)) - len(END) - 2):
        sealer, _ = pair()
        sealer.add(bytes(length))
        sizes.add(len(sealer.end()))
    assert sizes == {39 + 1 + SMALLEST_PADDED + TAG}


def test_no_chunk_is_larger_than_the_other_side_takes() -> None:
    sealer, opener = pair(largest=20_000)
    sealer.add(bytes(100_000))
    data = sealer.end()
    assert max(chunk_sizes(data, 39)) <= 20_000
    assert body_of(opened(opener, data)) == bytes(100_000)


@pytest.mark.parametrize("missing", [1, TAG, TAG + 1, 500, 1100])
def test_what_lacks_its_end_is_never_whole(missing: int) -> None:
    sealer, opener = pair()
    sealer.add(b"body")
    data = sealer.flush()
    data += sealer.end()
    events = opener.feed(data[:-missing])
    assert COMPLETE not in events
    with pytest.raises(CannotOpen):
        opener.end()


def test_the_first_chunks_alone_are_no_message() -> None:
    sealer, opener = pair()
    sealer.add(b"body")
    assert opener.feed(sealer.flush()) == [HEAD, b"body"]
    with pytest.raises(CannotOpen):
        opener.end()


@pytest.mark.parametrize(
    ("plaintext", "detail"),
    [
        (request_head(HEAD), "breaks off"),
        (request_head(HEAD) + content(b"body"), "breaks off"),
        (request_head(HEAD) + b"\x05body", "breaks off"),
        (request_head(HEAD)[:-1], "breaks off"),
        (b"", "breaks off"),
        (request_head(HEAD) + END + bytes(9) + b"\1", "zeros"),
        (request_head(HEAD) + b"\0\3x-a\1b\0", "trailers"),
        (response_head(RESPONSE) + END, "framing"),
    ],
)
def test_a_final_chunk_does_not_make_a_message_whole(plaintext: bytes, detail: str) -> None:
    """What its sender sealed and ended is authentic, and still no message."""
    sealer = RequestSealer(CONFIG, ephemeral=b"e" * 32)
    _, opener = pair()
    opener.feed(sealer.header + sealer.finish(plaintext))
    with pytest.raises(Malformed, match=detail):
        opener.end()


def test_a_response_opens_at_the_one_request_that_it_answers() -> None:
    ends = []
    for seed in (b"a", b"b"):
        request = RequestSealer(CONFIG, ephemeral=seed * 32)
        gateway = RequestOpener(lambda _: KEY)
        gateway.feed(request.header)
        response = MessageSealer(gateway.response_sealer(bytes(16)), response_head(RESPONSE))
        response.add(b"response")
        ends.append((request, response.end()))
    (first, firsts), (second, seconds) = ends
    events = opened(MessageOpener(first.response_opener(), ResponseReader(b"GET")), firsts)
    assert events == [RESPONSE, b"response", COMPLETE]
    for request, data in ((first, seconds), (second, firsts)):
        with pytest.raises(CannotOpen):
            opened(MessageOpener(request.response_opener(), ResponseReader(b"GET")), data)


def test_what_was_sealed_one_way_does_not_open_the_other_way() -> None:
    request = RequestSealer(CONFIG, ephemeral=b"a" * 32)
    gateway = RequestOpener(lambda _: KEY)
    gateway.feed(request.header)
    there = request.header + request.finish(request_head(HEAD) + END)
    back = gateway.response_sealer(bytes(16))
    response = back.header + back.finish(response_head(RESPONSE) + END)
    with pytest.raises(CannotOpen):
        opened(MessageOpener(request.response_opener(), ResponseReader(b"POST")), there)
    with pytest.raises(CannotOpen):
        opened(MessageOpener(RequestOpener(lambda _: KEY), RequestReader()), response)
