"""A request and its response, sealed and opened; and what is refused at either end."""

from collections.abc import Callable

import pytest

from proxy.core.sealing.chunks import LARGEST_CHUNK, CannotOpen
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.core.sealing.response import ResponseOpener
from tests.core.sealing.sealed_exchange import (
    DIRECTIONS,
    EPHEMERAL,
    TAG,
    Direction,
    config,
    find_key,
    opened,
    request_opener,
    request_sealer,
    response_sealer,
    sealed,
)
from tests.core.sealing.test_hpke import AEADS

BOTH_WAYS = pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.name)
AES = Aead.AES_128_GCM


@AEADS
def test_an_exchange_goes_both_ways(aead: Aead) -> None:
    sealer = request_sealer(aead)
    opener = request_opener()
    assert (opener.enc, opener.has_opened) == (b"", False)
    assert opener.feed(sealer.header) == []
    assert (opener.enc, opener.has_opened) == (sealer.enc, False)
    assert opener.feed(sealer.seal(b"first")) == [b"first"]
    assert opener.has_opened
    response = opener.response_sealer(bytes(opener.response_nonce_length))
    response_opener = sealer.response_opener()
    assert response_opener.feed(response.header + response.seal(b"early")) == [b"early"]
    assert opener.feed(sealer.finish(b"last")) == []
    assert opener.end() == b"last"
    assert response_opener.feed(response.finish(b"late")) == []
    assert response_opener.end() == b"late"


@AEADS
@BOTH_WAYS
def test_a_message_in_one_chunk_is_opened_at_its_end(direction: Direction, aead: Aead) -> None:
    opener = direction.opener(aead)
    assert opener.feed(b"".join(direction.seal(aead, [b"all"]))) == []
    assert not opener.has_opened
    assert opener.end() == b"all"
    assert opener.has_opened


@pytest.mark.parametrize(
    ("length", "chunks"),
    [
        (0, [0]),
        (1, [1]),
        (63, [63]),
        (64, [64]),
        (65, [64, 1]),
        (128, [64, 64]),
        (129, [64, 64, 1]),
    ],
)
def test_what_is_too_large_for_a_chunk_is_split(length: int, chunks: list[int]) -> None:
    opener = request_opener()
    sealer = request_sealer()
    others = opener.feed(sealer.header + sealer.finish(bytes(length)))
    assert [*map(len, others), len(opener.end())] == chunks
    opener, sealer = request_opener(), request_sealer()
    assert [len(each) for each in opener.feed(sealer.header + sealer.seal(bytes(length)))] == [
        each for each in chunks if each
    ]


def test_the_chunks_of_a_large_message_are_the_largest() -> None:
    sealer = RequestSealer(config(), ephemeral=EPHEMERAL)
    opener = RequestOpener(find_key)
    body = bytes(3 * LARGEST_CHUNK)
    assert opener.feed(sealer.header + sealer.finish(body)) == [bytes(LARGEST_CHUNK)] * 2
    assert opener.end() == bytes(LARGEST_CHUNK)


@BOTH_WAYS
def test_an_empty_message_is_one_final_chunk(direction: Direction) -> None:
    header, last = direction.seal(AES, [b""])
    assert len(last) == 1 + TAG
    assert opened(direction.opener(AES), [header, last]).plaintext == b""


def test_nothing_is_sealed_behind_the_final_chunk() -> None:
    sealer = request_sealer()
    sealer.finish(b"x")
    for more in (sealer.seal, sealer.finish):
        with pytest.raises(RuntimeError, match="final"):
            more(b"y")


def test_no_chunk_is_made_of_nothing() -> None:
    assert request_sealer().seal(b"") == b""


@BOTH_WAYS
def test_a_chunk_of_nothing_that_is_not_final_is_refused(direction: Direction) -> None:
    header, last = direction.seal(AES, [b""])
    empty = bytes((TAG,)) + last[1:]
    assert opened(direction.opener(AES), [header, empty, last]).refusal is not None


@BOTH_WAYS
@pytest.mark.parametrize("parts", [[b"x" * 64, b""], [b"x" * 64]], ids=["one of many", "final"])
def test_a_chunk_above_the_limit_is_refused_before_it_is_held(
    direction: Direction, parts: list[bytes]
) -> None:
    limit = 63 + TAG
    opener = direction.opener(AES)
    opener._splitter._limit = limit
    header, *chunks = direction.seal(AES, parts)
    stream = b"".join(chunks)
    outcome = opened(opener, [header, *(stream[at : at + 1] for at in range(len(stream)))])
    assert outcome.refusal is not None
    assert "larger than allowed" in outcome.refusal
    assert outcome.most_held == (limit if len(parts) == 1 else 1)
    assert opener.held == 0


def test_an_opener_takes_the_largest_chunk_and_no_larger() -> None:
    for size, refusal in ((20, None), (21, "a chunk of 37 bytes is larger than allowed")):
        sealer = request_sealer()
        units = sealed(sealer, [bytes(size), b""])
        assert opened(request_opener(20), units).refusal == refusal
        back = response_sealer(sealer)
        units = sealed(back, [bytes(size), b""])
        assert opened(sealer.response_opener(20), units).refusal == refusal


@BOTH_WAYS
@AEADS
def test_a_message_cut_short_anywhere_is_never_whole(direction: Direction, aead: Aead) -> None:
    stream = b"".join(direction.seal(aead, [b"one", b"two", b"three"]))
    for length in range(len(stream)):
        outcome = opened(direction.opener(aead), [stream[:length]])
        assert outcome.refusal is not None
        assert b"onetwothree".startswith(outcome.plaintext)
        assert outcome.plaintext in (b"", b"one", b"onetwo")


@BOTH_WAYS
@AEADS
def test_every_bit_counts(direction: Direction, aead: Aead) -> None:
    stream = b"".join(direction.seal(aead, [b"one", b"two"]))
    for bit in range(8 * len(stream)):
        changed = bytearray(stream)
        changed[bit // 8] ^= 1 << bit % 8
        outcome = opened(direction.opener(aead), [bytes(changed)])
        assert outcome.refusal is not None
        assert outcome.plaintext in (b"", b"one")


@BOTH_WAYS
def test_after_a_refusal_nothing_is_opened(direction: Direction) -> None:
    header, first, last = direction.seal(AES, [b"first", b"last"])
    opener = direction.opener(AES)
    opener.feed(header)
    with pytest.raises(CannotOpen) as refused:
        opener.feed(first[:-1] + bytes((first[-1] ^ 1,)) + b"\x40")
    assert opener.held == 0
    for more in (first, last, b""):
        with pytest.raises(CannotOpen) as again:
            opener.feed(more)
        assert again.value.detail == refused.value.detail == str(again.value)
    with pytest.raises(CannotOpen):
        opener.end()
    assert not opener.has_opened


@BOTH_WAYS
def test_after_the_end_nothing_is_opened(direction: Direction) -> None:
    opener = direction.opener(AES)
    for unit in direction.seal(AES, [b"first", b"last"]):
        opener.feed(unit)
    assert opener.end() == b"last"
    for more in (lambda: opener.feed(b"x"), opener.end):
        with pytest.raises(CannotOpen, match="ended"):
            more()


@BOTH_WAYS
def test_a_refusal_at_the_end_is_for_good(direction: Direction) -> None:
    header, _, last = direction.seal(AES, [b"first", b"last"])
    opener = direction.opener(AES)
    opener.feed(header)
    with pytest.raises(CannotOpen, match="before its final"):
        opener.end()
    with pytest.raises(CannotOpen, match="before its final"):
        opener.feed(last)


def test_a_failing_search_for_the_key_leaves_nothing_open() -> None:
    def fail(_: int) -> SealingKey | None:
        raise OSError("no disk")

    opener = RequestOpener(fail)
    with pytest.raises(OSError, match="no disk"):
        opener.feed(request_sealer().header)
    with pytest.raises(CannotOpen, match="no disk"):
        opener.feed(request_sealer().finish(b"x"))


def test_nothing_is_answered_before_it_is_known_to_whom() -> None:
    opener = request_opener()
    opener.feed(request_sealer().header[:-1])
    asks: list[Callable[[], object]] = [
        lambda: opener.response_nonce_length,
        lambda: opener.response_sealer(bytes(16)),
    ]
    for ask in asks:
        with pytest.raises(RuntimeError, match="header"):
            ask()


@AEADS
def test_a_response_nonce_has_the_length_of_the_suite(aead: Aead) -> None:
    opener = request_opener()
    opener.feed(request_sealer(aead).header)
    assert opener.response_nonce_length == aead.key_length
    for length in (0, aead.key_length - 1, aead.key_length + 1):
        with pytest.raises(ValueError, match=f"nonce of {length} bytes"):
            opener.response_sealer(bytes(length))


@pytest.mark.parametrize("largest", [0, -1])
def test_chunks_hold_something(largest: int) -> None:
    with pytest.raises(ValueError, match="no message fits"):
        request_sealer(largest=largest)


def test_no_secret_is_in_a_repr() -> None:
    opener = request_sealer().response_opener()
    assert isinstance(opener, ResponseOpener)
    assert opener._secret.value.hex() not in repr(opener._secret)
    assert repr(opener._secret.value) not in repr(opener._secret)
