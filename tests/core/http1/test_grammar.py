"""Field lines are found by one expression and counted: what it passes over is never passed on."""

import itertools
import re

import pytest

from proxy.core.http.headers import TOKEN, Field
from proxy.core.http1.grammar import MAX_FIELDS, Malformed, parse_fields

_BEFORE = b"GET / HTTP/1.1\r\n"
_PARTS = (b"a", b":", b"\r", b"\n", b"\r\n", b" ", b"A: b\r\n", b"\0", b"\x85")
_WELL_FORMED = re.compile(rb"(?:" + TOKEN + rb":[\t \x21-\x7e\x80-\xff]*\r\n)*\r\n")


def _read(block: bytes) -> list[Field] | None:
    data = bytearray(_BEFORE + block + b"b: c\r\n\r\n")
    try:
        return list(parse_fields(data, len(_BEFORE), len(_BEFORE) + len(block)))
    except Malformed:
        return None


def _as_defined(block: bytes) -> list[Field] | None:
    """Read it as the grammar has it, a line after the other."""
    if _WELL_FORMED.fullmatch(block) is None:
        return None
    lines = [line.split(b":", 1) for line in block.split(b"\r\n")[:-2]]
    return [(name.lower(), value.strip(b" \t")) for name, value in lines]


def test_every_short_block_is_read_as_it_is_defined() -> None:
    blocks = (b"".join(parts) for n in range(6) for parts in itertools.product(_PARTS, repeat=n))
    read = 0
    for block in blocks:
        expected = _as_defined(block)
        assert _read(block) == expected, block
        read += expected is not None
    assert read > 40  # else nothing was compared but refusals


@pytest.mark.parametrize("count", [MAX_FIELDS, MAX_FIELDS + 1])
def test_there_may_be_so_many_fields_and_no_more(count: int) -> None:
    is_read = _read(b"a: b\r\n" * count + b"\r\n") is not None
    assert is_read is (count == MAX_FIELDS)
