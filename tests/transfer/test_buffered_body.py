"""Bodies that are kept whole, in memory or on disk; ``test_held_body`` has how they are filled."""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
import threading
import time
import weakref
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.errors import Code, Refusal
from proxy.transfer.body import PIECE, SMALL
from proxy.transfer.buffered_body import MEMORY, BufferedBody
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


def fill(body: BufferedBody, data: bytes, size: int = PIECE) -> None:
    """Put ``data`` in, waiting for the disk wherever that is due."""
    for start in range(0, len(data), size):
        body.add(data[start : start + size], Code.TOO_LARGE)
        if body.is_spill_due():
            body.spill().result(PATIENCE)
    if body.is_spill_due(ends=True):
        body.spill().result(PATIENCE)


def whole(body: BufferedBody) -> bytes:
    read = b""
    while len(read) < body.size:
        block = body.block(len(read))
        read += block if isinstance(block, bytes) else block.result(PATIENCE)
    return read


@pytest.mark.parametrize("piece", [1000, PIECE, 300_000, 10 * MEMORY])
@pytest.mark.parametrize("size", [1, SMALL, SMALL + 1, MEMORY, MEMORY + 1, 3 * MEMORY + 12345])
def test_what_comes_back_is_what_was_put_in_as_often_as_it_is_asked_for(
    size: int, piece: int
) -> None:
    data = os.urandom(size)
    with closing(BufferedBody()) as body:
        fill(body, data, piece)
        assert (body.size, body.sha256) == (size, hashlib.sha256(data).digest())
        assert whole(body) == whole(body) == data
        body.clear()
        assert (body.size, whole(body)) == (0, b"")
        fill(body, data[::-1], piece)
        assert whole(body) == data[::-1]


def test_no_more_than_the_limit_is_taken() -> None:
    with closing(BufferedBody(10)) as body, pytest.raises(Refusal) as caught:
        body.add(bytes(11), Code.ANSWER_TOO_LARGE)
    assert caught.value.code is Code.ANSWER_TOO_LARGE


def test_the_first_bytes_are_those_of_what_is_in_memory() -> None:
    with closing(BufferedBody()) as body:
        fill(body, b"abc")
        assert (body.read(2), body.read(9), body.read(9, 2)) == (b"ab", b"abc", b"c")


def test_what_finds_no_space_is_told_of_with_the_code_of_who_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with closing(BufferedBody()) as body:
        fill(body, bytes(MEMORY))
        body.add(b"x", Code.TOO_LARGE)
        with pytest.raises(OSError, match="gone") as caught:
            body.spill().result(PATIENCE)
        refusal = body.cannot_take(caught.value, Code.APP_FAILED)
    assert refusal.code is Code.APP_FAILED
    assert refusal.detail.startswith(f"{MEMORY + 1} bytes can't be buffered: ")


def test_a_file_is_closed_when_its_body_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    make: Any = tempfile.TemporaryFile

    def noted(**options: Any) -> Any:
        made.append(make(**options))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    with closing(BufferedBody()) as body:
        fill(body, bytes(2 * MEMORY))
        (file,) = made
        assert not file.closed
    end = time.monotonic() + PATIENCE
    while not file.closed:
        assert time.monotonic() < end
        time.sleep(0.01)


class SlowHash:
    """A digest that takes as long as a test says, in the thread that writes."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def update(self, _: bytes | bytearray) -> None:
        self.goes_on.wait(PATIENCE)

    def digest(self) -> bytes:
        return b""


def test_nothing_is_left_of_one_that_is_closed_while_it_is_written() -> None:
    body, slow = BufferedBody(), SlowHash()
    body._hash = slow
    body.add(bytes(MEMORY + 1), Code.TOO_LARGE)
    gc.disable()  # or it would hide what refers to itself
    try:
        body.spill()
        assert body._file is not None
        file = weakref.ref(body._file)
        body.close()
        assert file() is not None
        slow.goes_on.set()
        end = time.monotonic() + PATIENCE
        while file() is not None:
            assert time.monotonic() < end
            time.sleep(0.001)
    finally:
        gc.enable()
