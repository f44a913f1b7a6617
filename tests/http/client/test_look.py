"""Whether an app's server is there: every way in which it may not be, and how often it is asked."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from proxy.core.http.origin import Origin
from proxy.http.client import look as looks
from proxy.http.client.look import PAUSE, Finding, UpstreamLooks, look, look_at_all
from proxy.http.client.resolver import Address, Addresses, Resolver
from proxy.http.upstream import Destination

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = "127.0.0.1"


def at(port: int, host: str = "app") -> Destination:
    return Destination(Origin("http", host, port), connect=(LOOPBACK, port))


def over_unix(path: Path) -> Destination:
    return Destination(Origin("http", "localhost", 80), unix=str(path))


class Names(Resolver):
    """A resolver that says what the test wants, or nothing."""

    def __init__(self, response: Addresses | OSError | None) -> None:
        super().__init__()
        self._response = response

    async def look_up(self, host: str, port: int) -> Addresses:
        del host, port
        if self._response is None:
            await asyncio.Event().wait()
        if isinstance(self._response, OSError):
            raise self._response
        return self._response or ()


async def test_a_server_that_takes_connections_answers(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with (
        closing(socket.create_server((LOOPBACK, 0))) as tcp,
        closing(socket.socket(socket.AF_UNIX)) as unix,
    ):
        unix.bind(str(path))
        unix.listen()
        found = await look_at_all({"a": at(tcp.getsockname()[1]), "b": over_unix(path)})
    assert found == {"a": "answers", "b": "answers"}


async def test_a_port_on_which_nothing_listens_refuses(tmp_path: Path) -> None:
    with closing(socket.socket()) as bound, closing(socket.socket(socket.AF_UNIX)) as unix:
        bound.bind((LOOPBACK, 0))
        unix.bind(str(tmp_path / "app.sock"))
        closed = at(bound.getsockname()[1])
        found = await look_at_all({"a": closed, "b": over_unix(tmp_path / "app.sock")})
    assert found == {"a": "refuses", "b": "refuses"}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (socket.gaierror(-2, "Name or service not known"), "can't be found"),
        (OSError("256 names are being looked up already"), "can't be reached"),
        ((), "can't be reached"),
        (None, "is silent"),
        ([Address(socket.AF_INET, 0, (LOOPBACK, 1))] * 2, "refuses"),
    ],
)
async def test_whatever_else_becomes_of_it_is_told_in_a_word(
    response: Addresses | OSError | None, expected: Finding
) -> None:
    to = Destination(Origin("http", "app", 80))
    assert await look(to, Names(response), patience=0.2) == expected


async def test_a_socket_that_is_not_there_cannot_be_found(tmp_path: Path) -> None:
    assert await look(over_unix(tmp_path / "no.sock"), Resolver()) == "can't be found"


class Looking:
    """What is looked at, and how often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.finding: Finding = "answers"
        self.looks: list[Destination] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        monkeypatch.setattr(looks, "look", self._look)
        monkeypatch.setattr(looks, "FIRST_WAIT", 0.05)
        self.seen = UpstreamLooks(lambda: self.now)

    async def _look(self, to: Destination, resolver: Resolver) -> Finding:
        del resolver
        self.looks.append(to)
        await self.may_end.wait()
        return self.finding


async def test_an_app_is_looked_at_once_in_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking(monkeypatch)
    apps = {"one": at(1), "two": at(2), "again": at(1)}
    for _ in range(5):
        found = await looking.seen.findings(apps)
        assert found == dict.fromkeys(apps, "answers")
    assert sorted(to.origin.port for to in looking.looks) == [1, 2]
    looking.now, looking.finding = PAUSE, "refuses"
    assert await looking.seen.findings(apps) == dict.fromkeys(apps, "refuses")
    assert len(looking.looks) == 4


async def test_a_look_that_takes_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking(monkeypatch)
    looking.may_end.clear()
    for _ in range(3):
        assert await looking.seen.findings({"one": at(1)}) == {"one": None}
    assert len(looking.looks) == 1
    looking.may_end.set()
    assert await looking.seen.findings({"one": at(1)}) == {"one": "answers"}
    looking.now = PAUSE
    looking.may_end.clear()
    assert await looking.seen.findings({"one": at(1)}) == {"one": "answers"}  # as last seen
    looking.may_end.set()


async def test_an_app_that_is_gone_or_moved_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking(monkeypatch)
    await looking.seen.findings({"one": at(1)})
    assert await looking.seen.findings({}) == {}
    assert await looking.seen.findings({"one": at(2)}) == {"one": "answers"}
    assert set(looking.seen._found) == {at(2)}
