"""Where a chunk ends: every form of a length, and limits that hold before anything is buffered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sealing.chunks import FINAL, CannotOpen, Splitter, not_final

LARGEST = 40
LIMIT = LARGEST + 16
_CHUNK = b"c" * 20
_LAST = b"l" * 16


def _split(data: bytes, size: int) -> tuple[list[bytes], str | None, int]:
    """Return the chunks (the final one last), what was refused, and the most that was held."""
    splitter = Splitter(LARGEST)
    chunks: list[bytes] = []
    most = 0
    try:
        for at in range(0, len(data), size):
            for chunk in splitter.feed(memoryview(data)[at : at + size]):
                chunks.append(bytes(chunk))  # noqa: PERF401 - those before an error count too
            most = max(most, splitter.held)
        chunks.append(bytes(splitter.end()))
    except CannotOpen as error:
        return chunks, error.detail, most
    return chunks, None, most


def _form(value: int, width: int) -> bytes:
    bits = {1: 0, 2: 1, 4: 2, 8: 3}[width]
    return (bits << (8 * width - 2) | value).to_bytes(width, "big")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_every_form_of_a_length_is_read(width: int, size: int) -> None:
    data = _form(20, width) + _CHUNK + _form(20, width) + _CHUNK + _form(0, width) + _LAST
    assert _split(data, size)[:2] == ([_CHUNK, _CHUNK, _LAST], None)


def test_the_shortest_form_is_written() -> None:
    for length, form in ((17, "11"), (63, "3f"), (64, "4040"), (16384, "80004000")):
        assert not_final(bytes(length)) == (bytes.fromhex(form), bytes(length))
    assert FINAL == b"\x00"


_TABLE = {
    "nothing at all": (b"", [], "ended before"),
    "no final chunk": (b"\x14" + _CHUNK, [_CHUNK], "ended before"),
    "within a length": (b"\x14" + _CHUNK + b"\x40", [_CHUNK], "ended before"),
    "within a chunk": (b"\x14" + _CHUNK[1:], [], "ended before"),
    "within the final chunk": (FINAL + _LAST[1:], [], "ended within"),
    "a final chunk of nothing": (FINAL, [], "ended within"),
    "a chunk without plaintext": (b"\x10" + _LAST + FINAL + _LAST, [], "empty"),
    "a chunk without a tag": (b"\x01c" + FINAL + _LAST, [], "empty"),
    "the largest chunks": (
        bytes((LIMIT,)) + b"c" * LIMIT + FINAL + b"l" * LIMIT,
        [b"c" * LIMIT, b"l" * LIMIT],
        None,
    ),
    "a chunk that is too large": (b"\x14" + _CHUNK + bytes((LIMIT + 1,)), [_CHUNK], "larger"),
    "one of all that can be said": (b"\xff" * 8, [], "larger"),
    "a final chunk that is too large": (FINAL + b"l" * (LIMIT + 1), [], "larger"),
    "bytes behind the final chunk": (FINAL + _LAST + b"\x14" + _CHUNK, [], None),
}


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("name", _TABLE)
def test_a_stream_is_cut_as_the_table_says(name: str, size: int) -> None:
    data, chunks, refusal = _TABLE[name]
    if name == "bytes behind the final chunk":
        chunks = [data[1:]]  # part of it, so that it won't be authentic
    cut, refused, most = _split(data, size)
    assert cut == chunks
    assert most <= LIMIT
    if refusal is None:
        assert refused is None
    else:
        assert refused is not None
        assert refusal in refused


def test_a_chunk_that_is_too_large_is_refused_by_its_length_alone() -> None:
    splitter = Splitter(LARGEST)
    assert list(splitter.feed(memoryview(b"\x40"))) == []
    with pytest.raises(CannotOpen, match="57 bytes"):
        list(splitter.feed(memoryview(bytes((LIMIT + 1,)))))
    assert splitter.held <= 1


def test_a_final_chunk_that_is_too_large_is_refused_before_it_is_held() -> None:
    splitter = Splitter(LARGEST)
    assert list(splitter.feed(memoryview(FINAL + bytes(LIMIT)))) == []
    assert splitter.held == LIMIT
    with pytest.raises(CannotOpen, match="larger"):
        list(splitter.feed(memoryview(bytes(100_000))))
    assert splitter.held == LIMIT


def test_a_chunk_that_is_all_there_is_not_copied() -> None:
    data = b"\x14" + _CHUNK + FINAL
    [chunk] = Splitter(LARGEST).feed(memoryview(data))
    assert isinstance(chunk, memoryview)
    assert chunk.obj is data


@given(st.binary(max_size=300), st.integers(1, 300))
def test_pieces_change_nothing(data: bytes, size: int) -> None:
    whole, byte_by_byte, cut = _split(data, len(data) or 1), _split(data, 1), _split(data, size)
    assert whole[:2] == byte_by_byte[:2] == cut[:2]
    assert max(whole[2], byte_by_byte[2], cut[2]) <= LIMIT


def test_a_flood_of_tiny_chunks_is_cut_without_a_step_for_each_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = 0
    read = Splitter._read_length

    def counting(self: Splitter, data: memoryview, at: int) -> int:
        nonlocal steps
        steps += 1
        return read(self, data, at)

    monkeypatch.setattr(Splitter, "_read_length", counting)
    stream = b"".join(not_final(b"c" * 17)) * 900 + FINAL + _LAST
    assert _split(stream, 1 << 16) == ([b"c" * 17] * 900 + [_LAST], None, len(_LAST))
    assert steps == 1
