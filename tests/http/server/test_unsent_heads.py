"""Heads that wait for their bodies go out in the next turn, whatever one of them does."""

import asyncio

import pytest

from proxy.http.server.unsent_heads import UnsentHeads, unsent_heads_of


class Response:
    """A response that notes when its head goes out."""

    def __init__(self, heads: UnsentHeads, sent: list[str], name: str) -> None:
        self._heads = heads
        self._sent = sent
        self.name = name
        self.next: Response | None = None
        self.is_broken = False

    def send_unsent_head(self) -> None:
        self._sent.append(self.name)
        if self.next is not None:
            self._heads.add(self.next)
        if self.is_broken:
            raise ZeroDivisionError


async def test_they_go_out_in_their_order_a_turn_later(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[str] = []
    heads = unsent_heads_of(asyncio.get_running_loop())
    assert unsent_heads_of(asyncio.get_running_loop()) is heads
    one, two, three, four = (Response(heads, sent, name) for name in "1234")
    one.next, two.is_broken = four, True
    for each in (one, two, three):
        heads.add(each)
    assert sent == []
    await asyncio.sleep(0)
    assert sent == ["1", "2", "3"]
    assert "couldn't be written" in caplog.text
    await asyncio.sleep(0)
    assert sent == ["1", "2", "3", "4"]
