"""Clients that go on where a connection was ended, or leave in the middle."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from pathlib import Path

from tests.wire.harness.raw import RawConnection, request
from tests.wire.harness.recorder import eventually

from .fault import Fault, Seen
from .ledger import marked
from .stage import FINE, Stage, running

_SIZES = (200_000, 262_143, 262_144, 262_145, 262_200, 264_000, 270_000, 280_000, 300_000, 500_000)
_PIECES = (1 << 20, 65_536, 1000)
_RESET = struct.pack("ii", 1, 0)


def _behind_an_end(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder) as stage:
        for _ in range(rounds):
            for size in _SIZES:
                for piece in _PIECES:
                    _refused_and_more(stage, size, piece, seen)
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.rounds += 1


def _refused_and_more(stage: Stage, size: int, piece: int, seen: Seen) -> None:
    """Send a body that is refused, and behind it a request that is to be carried out."""
    app = stage.app
    refused = request("PUT", "/", ("Host", stage.bob.app_host("closed")), body=bytes(size))
    number, body = app.next_body()
    host = ("Host", stage.bob.app_host("open"))
    more = request("PUT", f"/do/{number}", host, body=body)
    answered, closes = False, False
    with RawConnection(stage.bob.public) as wire, suppress(OSError, EOFError):
        raw = refused + more
        with suppress(OSError):
            for at in range(0, len(raw), piece):
                wire.send(raw[at : at + piece])
        first = wire.read()
        seen.equal(first.status, 401, "the refusal")
        closes = first.all("connection") == [b"close"]
        answered = wire.read().body == b"done %d" % number
    seen.counts["requests behind a refused body"] += 1
    seen.expect(answered or not app.done[number], "carried out, and its response lost")
    seen.expect(answered or closes, "the end wasn't told by Connection: close")


def _leave(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder) as stage:
        host = ("Host", stage.bob.app_host("open"))
        for _ in range(rounds):
            before = len(stage.app.parts)
            for how in ("end", "reset"):
                for sent in (10, 100, 50_000, 150_000):
                    number = stage.app.next()
                    raw = request("PUT", f"/do/{number}", host, body=marked(number, 200_000))
                    with RawConnection(stage.bob.public) as wire:
                        wire.send(raw[:sent])
                        if how == "reset":
                            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    seen.expect(not stage.app.done[number], "a part was taken for the whole")
            eventually(lambda: stage.all_ways() == FINE)
            seen.equal(len(stage.app.parts), before, "parts taken for the whole")
            seen.rounds += 1


FAULTS = (
    Fault(
        "A request behind a body that was refused",
        "On one connection, behind bodies of 200,000 to 500,000 bytes, in pieces of three sizes",
        "It is carried out and answered, or it isn't carried out; a refusal that ends the "
        "connection says `Connection: close`",
        "The refusal in the log",
        _behind_an_end,
        rounds=10,
    ),
    Fault(
        "A client that leaves in its upload",
        "By an end and by a reset, after 10 to 150,000 bytes",
        "The app's request breaks off too: it never gets a part as a whole",
        "`left` in the request's line of the log",
        _leave,
        rounds=10,
    ),
)
