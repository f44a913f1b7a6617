"""The same bytes to a listener in every way that they can be cut in two, and byte by byte."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.wire.harness.raw import Raw, RawConnection

LONGEST = 700
"""Bytes above which only a few places are tried."""
_AT_ONCE = 120
_APART = 0.01
"""Seconds between the two parts: enough for the first to have been read."""


def places(raw: bytes) -> list[int]:
    """Return where ``raw`` is cut: everywhere, or around the beginning, the middle and the end."""
    last = len(raw)
    if last <= LONGEST:
        return list(range(1, last))
    spots = (1, last // 2, last - 3)
    return sorted({at for spot in spots for at in range(spot, spot + 3) if 0 < at < last})


def responses(port: int, raw: bytes, *, to_head: bool = False) -> list[Raw]:
    """Return the responses to ``raw`` cut at each place, each on a connection of its own."""
    found: list[Raw] = []
    cuts = places(raw)
    for first in range(0, len(cuts), _AT_ONCE):
        with ExitStack() as stack:
            batch = cuts[first : first + _AT_ONCE]
            wires = [(at, stack.enter_context(RawConnection(port))) for at in batch]
            for at, wire in wires:
                wire.send(raw[:at])
            time.sleep(_APART)
            for at, wire in wires:
                try:
                    wire.send(raw[at:])
                except ConnectionError:  # refused for its first part alone
                    continue
            found += [wire.read(to_head=to_head) for _, wire in wires]
    return found


def drip(port: int, raw: bytes) -> Raw:
    """Return the response to ``raw`` sent byte by byte."""
    with RawConnection(port) as wire:
        for at in range(len(raw)):
            try:
                wire.send(raw[at : at + 1])
            except ConnectionError:
                break
        return wire.read()
