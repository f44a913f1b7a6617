"""Names are looked up beside each other, and connected to at the first address that answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from proxy.http.client import resolver
from proxy.http.client.happy_eyeballs import dial
from proxy.http.client.resolver import Address, Resolver

LOOPBACK = "127.0.0.1"


class System:
    """The system's resolver, which answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.responses = threading.Event()

    def look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        assert self.responses.wait(30)
        if host == "unknown":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (LOOPBACK, port))]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    system = System()
    monkeypatch.setattr(socket, "getaddrinfo", system.look_up)
    yield system
    system.responses.set()


async def asked(system: System, count: int) -> None:
    while len(system.asked) < count:  # noqa: ASYNC110 - a thread's list has no event
        await asyncio.sleep(0.001)


async def test_who_asks_for_the_same_name_shares_one_look_up(system: System) -> None:
    names = Resolver()
    first, second, other = (
        asyncio.create_task(names.look_up(host, 80)) for host in ("a", "a", "b")
    )
    await asked(system, 2)
    first.cancel()
    system.responses.set()

    assert [address.where for address in await second] == [(LOOPBACK, 80)]
    assert [address.where for address in await other] == [(LOOPBACK, 80)]
    assert sorted(system.asked) == ["a", "b"]
    with pytest.raises(asyncio.CancelledError):
        await first
    await names.look_up("a", 80)
    assert sorted(system.asked) == ["a", "a", "b"]


async def test_an_unknown_name_is_an_error_each_time(system: System) -> None:
    system.responses.set()
    names = Resolver()
    for _ in range(2):
        with pytest.raises(OSError, match="unknown"):
            await names.look_up("unknown", 80)
    assert system.asked == ["unknown"] * 2


@pytest.mark.parametrize("name", ["x" * 64 + ".example", "a..b"])
async def test_what_no_name_can_be_is_an_error(name: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        await Resolver().look_up(name, 80)


async def test_an_address_is_asked_of_nobody(system: System) -> None:
    names = Resolver()
    assert await names.look_up(LOOPBACK, 80) == (
        Address(socket.AF_INET, socket.IPPROTO_TCP, (LOOPBACK, 80)),
    )
    assert await names.look_up("::1", 80) == (
        Address(socket.AF_INET6, socket.IPPROTO_TCP, ("::1", 80, 0, 0)),
    )
    assert system.asked == []


async def test_there_are_only_so_many_look_ups(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "MOST", 3)
    names = Resolver()
    waiting = [asyncio.create_task(names.look_up(f"name{n}", 80)) for n in range(3)]
    await asked(system, 3)
    with pytest.raises(OSError, match="3 names"):
        await names.look_up("another", 80)
    system.responses.set()
    await asyncio.gather(*waiting)
    assert await names.look_up("another", 80)


def test_a_loop_ends_without_waiting_for_a_look_up(system: System) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await Resolver().look_up("silent", 80)

    asyncio.run(give_up())  # or it would end only with the thread, that is never

    system.responses.set()
    for thread in threading.enumerate():
        if thread.name.startswith("look up"):
            thread.join(30)


@contextmanager
def listening(host: str = LOOPBACK) -> Iterator[Address]:
    with socket.create_server((host, 0)) as server:
        yield Address(socket.AF_INET, 0, server.getsockname())


@contextmanager
def silent() -> Iterator[Address]:
    """A listener whose queue is full: who connects waits."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((LOOPBACK, 0), backlog=0))
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(server.getsockname())
        yield Address(socket.AF_INET, 0, server.getsockname())


@contextmanager
def refusing() -> Iterator[Address]:
    with socket.socket() as authenticate:
        authenticate.bind((LOOPBACK, 0))
        yield Address(socket.AF_INET, 0, authenticate.getsockname())


async def test_the_next_address_is_tried_where_one_refuses() -> None:
    with refusing() as gone, listening() as there:
        for addresses in ([gone, there], [there, gone]):
            with await dial(addresses, None) as opened:
                assert opened.getpeername() == there.where


async def test_the_next_address_is_tried_beside_a_silent_one() -> None:
    with silent() as first, silent() as second, listening() as there:
        with await dial([first, second, there], 0.01) as opened:
            assert opened.getpeername() == there.where
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await dial([first, there], None)


async def test_where_none_takes_a_connection_each_is_named() -> None:
    with refusing() as one, refusing() as other, pytest.raises(OSError, match="; ") as caught:
        await dial([one, other], 0.01)
    assert all(str(each.where[1]) in str(caught.value) for each in (one, other))
    with pytest.raises(OSError, match="no address"):
        await dial([], None)


async def test_families_take_turns() -> None:
    six = [Address(socket.AF_INET6, 0, ("::1", port, 0, 0)) for port in (1, 2)]
    with listening() as there, refusing() as gone:
        with await dial([*six, there], 0.01) as opened:
            assert opened.getpeername() == there.where
        with pytest.raises(OSError, match="; ") as caught:
            await dial([*six, gone], None)
    first, second, third = str(caught.value).split("; ")
    assert (":" in first, ":" in second, ":" in third) == (True, False, True)
