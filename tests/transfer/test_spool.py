"""Bodies whose length an app must be told first share one limit, and give back what they took."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination
from proxy.transfer.buffered_body import MEMORY
from proxy.transfer.spool import Spool, SpoolHolder, fields_of_spooled
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

_TO = Destination(Origin("http", "app.example", 80))
_FIELDS = (
    (b"host", b"a"),
    (b"transfer-encoding", b"chunked"),
    (b"expect", b"100-continue"),
    (b"x-last", b"1"),
)


class Ends:
    """What a holder says in the end."""

    def __init__(self) -> None:
        self.said: list[str | Exception] = []
        self.has_ended = asyncio.Event()

    def hold(self, spool: Spool) -> SpoolHolder:
        return SpoolHolder(
            spool,
            _TO,
            pause=_nothing,
            resume=_nothing,
            on_held=lambda: self.say("held"),
            on_failure=self.say,
        )

    def say(self, what: str | Exception) -> None:
        self.said.append(what)
        self.has_ended.set()


def _nothing() -> None:
    pass


@pytest.mark.parametrize("pieces", [(b"",), (b"one",), (b"one", b"two"), (b"x" * 100_000,) * 3])
async def test_a_holder_counts_its_body_until_it_is_closed(pieces: tuple[bytes, ...]) -> None:
    whole = b"".join(pieces)
    spool = Spool(1_000_000)
    ends = Ends()
    holder = ends.hold(spool)
    for at, piece in enumerate(pieces, 1):
        holder.receive(piece, ends=at == len(pieces))
    assert ends.said == ["held"]
    assert holder.body.read(len(whole)) == whole
    length = (b"content-length", str(len(whole)).encode())
    assert fields_of_spooled(_FIELDS, holder.body.size) == (_FIELDS[0], length, _FIELDS[3])
    assert spool.taken == len(whole)
    holder.close()
    holder.close()
    assert spool.taken == 0


async def test_holders_share_the_limit_and_one_that_is_refused_gives_back_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    spool = Spool(10)
    ends = Ends()
    first, second = Ends().hold(spool), ends.hold(spool)
    first.receive(b"x" * 6, ends=False)
    second.receive(b"y" * 4, ends=False)
    second.receive(b"y", ends=True)
    second.receive(b"y", ends=True)
    (refusal,) = ends.said
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.CANNOT_HOLD
    assert spool.taken == 6
    second.close()
    first.close()
    assert spool.taken == 0
    assert caplog.text.count("http://app.example speaks HTTP/1.0") == 1


async def test_a_holder_that_finds_no_space_gives_back_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    spool = Spool(10 * MEMORY)
    ends = Ends()
    holder = ends.hold(spool)
    holder.receive(bytes(MEMORY + 1), ends=False)
    assert spool.taken == MEMORY + 1
    async with asyncio.timeout(PATIENCE):
        await ends.has_ended.wait()
    (refusal,) = ends.said
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.STORAGE_FULL
    assert spool.taken == 0
    assert caplog.text.count("speaks HTTP/1.0") == 1


async def test_a_holder_that_is_closed_while_the_disk_is_asked_says_nothing() -> None:
    spool = Spool(10 * MEMORY)
    ends = Ends()
    holder = ends.hold(spool)
    holder.receive(bytes(2 * MEMORY), ends=True)
    holder.close()
    assert spool.taken == 0
    other = Ends()
    slow = other.hold(spool)
    slow.receive(bytes(2 * MEMORY), ends=True)
    async with asyncio.timeout(PATIENCE):
        await other.has_ended.wait()
    slow.close()
    assert (ends.said, other.said, spool.taken) == ([], ["held"], 0)
