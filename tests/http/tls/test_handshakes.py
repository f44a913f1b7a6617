"""Whose turn it is for a handshake."""

import asyncio

import pytest

from proxy.http.tls.handshakes import HandshakeLimiter


class _Handshakes:
    """Handshakes that run until they are let go."""

    def __init__(self, most: int) -> None:
        self.limiter = HandshakeLimiter(most)
        self.running: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str, network: str | None) -> None:
        self.tasks[name] = asyncio.create_task(self.hold(name, network))
        await self.settle()

    async def hold(self, name: str, network: str | None) -> None:
        async with self.limiter.slot(network):
            self.running.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.running.remove(name)

    async def end(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def shakes() -> _Handshakes:
    return _Handshakes(2)


async def test_more_than_so_many_wait_in_their_order(shakes: _Handshakes) -> None:
    for name in "abcde":
        await shakes.begin(name, "here")
    assert shakes.running == ["a", "b"]
    await shakes.end("a")
    assert shakes.running == ["b", "c"]
    await shakes.end("b", "c")
    assert shakes.running == ["d", "e"]
    await shakes.end("d", "e")
    assert not shakes.limiter._running
    assert not shakes.limiter._waiting


async def test_networks_don_t_wait_for_each_other(shakes: _Handshakes) -> None:
    for name in "abc":
        await shakes.begin(name, "here")
    await shakes.begin("d", "there")
    assert shakes.running == ["a", "b", "d"]
    for name in "efg":
        await shakes.begin(name, None)
    assert shakes.running == ["a", "b", "d", "e", "f", "g"]
    await shakes.end(*"abcdefg")


async def test_who_gave_up_waiting_takes_no_turn(shakes: _Handshakes) -> None:
    for name in "abcd":
        await shakes.begin(name, "here")
    await shakes.end("c")
    await shakes.end("a")
    assert shakes.running == ["b", "d"]
    await shakes.end("b", "d")
    assert not shakes.limiter._running


async def test_a_turn_that_was_given_to_who_gives_up_is_passed_on(shakes: _Handshakes) -> None:
    for name in "abcd":
        await shakes.begin(name, "here")
    await shakes.end("a", "c")  # in the same moment
    assert shakes.running == ["b", "d"]
    await shakes.end("b", "d")
    assert not shakes.limiter._running
    assert not shakes.limiter._waiting


async def test_any_number_may_give_up_in_the_same_moment(shakes: _Handshakes) -> None:
    many = [str(number) for number in range(3000)]
    for name in many:
        shakes.tasks[name] = asyncio.create_task(shakes.hold(name, "here"))
    await shakes.settle()
    await shakes.end(*many)
    assert not shakes.limiter._running
    assert not shakes.limiter._waiting
    assert all(shakes.tasks[name].cancelled() for name in many)
