"""The sockets of apps' entrances: where they may be, and what becomes of them as apps change."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config.apps import App
from proxy.config.entrance import Entrance
from proxy.config.listen import Address
from proxy.core.access.rules import Rules
from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination
from proxy.server.entrance_sockets import (
    AGAIN,
    LEAVING,
    SOON,
    Elsewhere,
    EntranceSockets,
    Key,
    Place,
    find_place,
    told,
)


def _app(name: str, address: Address, *, asks_token: bool = False) -> dict[str, App]:
    upstream = Destination(Origin("http", name, 80))
    return {name: App(name, Rules(()), upstream, entrance=Entrance(address, asks_token))}


def _resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def found(host: str, port: int, **_: object) -> list[object]:
        del host
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, port))
            for each in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.0.0.1", "10.0.0.2"), "leads to 10.0.0.1 and 10.0.0.2; expected a name of one"),
        (("10.0.0.1", "fd00::1"), "leads to 10.0.0.1 and fd00::1; expected a name of one"),
        (("8.8.8.8",), "leads to 8.8.8.8, which is a public address"),
        (("0.0.0.0",), "leads to 0.0.0.0, which is every network"),
        (("127.0.0.1",), "leads to 127.0.0.1, which is this machine's loopback"),
        (("::ffff:10.0.0.1",), "written as an IPv6 address"),
        (("fe80::1%eth0",), "which is a link's own address"),
    ],
)
def test_a_name_that_leads_to_several_places_or_for_all_is_no_entrance(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...], expected: str
) -> None:
    _resolving(monkeypatch, *addresses)
    with pytest.raises(OSError, match=r"expected|write") as refused:
        find_place(Entrance(Address("proxy.internal", 9001)))
    assert expected in str(refused.value)
    assert not isinstance(refused.value, Elsewhere)


def test_an_address_of_another_machine_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Elsewhere, match="isn't an address of this machine"):
        find_place(Entrance(Address("10.254.254.254", 9001)))
    with pytest.raises(Elsewhere, match="can't be looked up"):
        find_place(Entrance(Address("no-such-host.invalid", 9001)))
    _resolving(monkeypatch, "127.0.0.1", "127.0.0.1")
    place = find_place(Entrance(Address("localhost", 9001), asks_token=True))
    assert place == Place(Address("127.0.0.1", 9001))


@dataclass
class Names:
    """Where names lead, as a nameserver would say."""

    place: Place | OSError
    asked: int = 0

    def find(self, entrance: Entrance) -> Place:
        self.asked += 1
        if isinstance(self.place, OSError):
            raise self.place
        return Place(entrance.address) if entrance.address.unix else self.place


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Stage:
    names: Names
    clock: Clock = field(default_factory=Clock)
    listeners: dict[str, Address] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sockets = EntranceSockets(self.listeners, self.names.find, self.clock)

    def problems(self) -> list[str]:
        return [problem.what for problem in told(self.sockets.problems.items())]

    def opened(self) -> dict[str, str]:
        return {key.app: each.address for key, each in self.sockets.current.items()}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _stage(port: int) -> Stage:
    return Stage(Names(Place(Address("127.0.0.1", port))))


def test_it_follows_the_apps() -> None:
    port = _free_port()
    stage, name = _stage(port), Address("proxy.internal", port)
    assert stage.sockets.follow(_app("one", name))
    assert stage.opened() == {"one": f"127.0.0.1:{port}"}
    assert not stage.sockets.follow(_app("one", name))
    assert stage.names.asked == 1
    assert stage.sockets.follow({})
    assert stage.opened() == {}
    stage.sockets.follow(_app("two", name))
    assert stage.opened() == {"two": f"127.0.0.1:{port}"}
    stage.sockets.close_ours()


def test_a_name_is_looked_up_again_and_followed() -> None:
    port, other = _free_port(), _free_port()
    stage, apps = _stage(port), _app("one", Address("proxy.internal", port))
    stage.sockets.follow(apps)
    stage.names.place = Place(Address("127.0.0.1", other))
    stage.clock.now += AGAIN - 1
    stage.sockets.follow(apps)
    assert stage.opened() == {"one": f"127.0.0.1:{port}"}
    stage.clock.now += 1
    stage.sockets.follow(apps)
    assert stage.opened() == {"one": f"127.0.0.1:{other}"}
    # Where it leads nowhere any more, or where it may not, it isn't kept.
    stage.names.place = OSError("leads to 8.8.8.8")
    stage.clock.now += AGAIN
    stage.sockets.follow(apps)
    assert (stage.opened(), stage.problems()) == ({}, ["leads to 8.8.8.8"])
    stage.names.place = Place(Address("127.0.0.1", port))
    stage.sockets.follow(apps)
    assert stage.opened() == {}
    stage.clock.now += SOON
    stage.sockets.follow(apps)
    assert (list(stage.opened()), stage.problems()) == (["one"], [])
    stage.sockets.close_ours()


def test_a_nameserver_that_is_silent_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    port = _free_port()
    clock = Clock()
    sockets = EntranceSockets({}, steady=clock)
    _resolving(monkeypatch, "127.0.0.1")
    apps = _app("one", Address("localhost", port), asks_token=True)
    sockets.follow(apps)
    before = dict(sockets.current)

    def silent(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    clock.now += AGAIN
    sockets.follow(apps)
    assert sockets.current == before
    assert "can't be looked up" in next(iter(sockets.problems.values()))
    sockets.close_ours()


@pytest.mark.parametrize("is_silent", [False, True])
def test_where_no_token_is_asked_for_any_more_it_is_looked_up_at_once(
    monkeypatch: pytest.MonkeyPatch, *, is_silent: bool
) -> None:
    sockets, name = EntranceSockets({}), Address("proxy.internal", _free_port())
    _resolving(monkeypatch, "127.0.0.1")
    sockets.follow(_app("one", name, asks_token=True))
    assert len(sockets.current) == 1
    if is_silent:

        def silent(*_: object, **__: object) -> list[object]:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", silent)
    sockets.follow(_app("one", name))
    assert sockets.current == {}
    (what,) = sockets.problems.values()
    assert ("can't be looked up" if is_silent else "loopback") in what


def test_what_is_in_use_is_told_but_for_the_moment_in_which_it_is_let_go_of() -> None:
    port = _free_port()
    stage, name = _stage(port), Address("proxy.internal", port)
    stage.sockets.follow(_app("one", name))
    (opened,) = stage.sockets.current.values()
    another = opened.another()  # as a worker has it
    stage.sockets.follow(_app("two", name))
    assert (stage.opened(), stage.problems()) == ({}, [])
    stage.clock.now += LEAVING
    stage.sockets.follow(_app("two", name))
    assert "can't be opened: " in stage.problems()[0]
    another.close()
    stage.clock.now += SOON
    stage.sockets.follow(_app("two", name))
    assert stage.opened() == {"two": f"127.0.0.1:{port}"}
    stage.sockets.close_ours()


def test_of_what_was_closed_nothing_is_kept() -> None:
    """A container's address changes with each start; a proxy runs for a year."""
    stage = _stage(0)
    for _ in range(20):
        port = _free_port()
        stage.names.place = Place(Address("127.0.0.1", port))
        stage.sockets.follow(_app("one", Address("proxy.internal", port)))
        stage.clock.now += LEAVING
    assert len(stage.sockets._closed) == 1
    stage.sockets.follow({})
    stage.clock.now += LEAVING
    stage.sockets.follow({})
    assert not stage.sockets._closed


def test_two_names_of_one_place_are_one_entrance_and_another_listeners_is_none() -> None:
    port = _free_port()
    stage = _stage(port)
    apps = _app("one", Address("a.internal", port)) | _app("two", Address("b.internal", port))
    stage.sockets.follow(apps)
    assert list(stage.opened()) == ["one"]
    assert stage.problems() == ["leads to the entrance of one; expected one of its own"]
    stage.sockets.close_ours()
    stage = Stage(
        Names(Place(Address("10.0.0.1", 8080))),
        listeners={"public": Address("0.0.0.0", 8080), "apps": Address("proxy.internal", 8081)},
    )
    apps = _app("one", Address("a.internal", 8080)) | _app("two", Address("proxy.internal", 8081))
    stage.sockets.follow(apps)
    assert stage.opened() == {}
    assert stage.problems() == [
        "is the address of the public listener; expected another one",
        "is the address of the apps listener; expected another one",
    ]


def test_a_socket_that_is_gone_leaves_no_file(tmp_path: Path) -> None:
    stage, path = _stage(1), tmp_path / "portal.sock"
    stage.sockets.follow(_app("one", Address(unix=str(path), mode=0o660)))
    assert path.stat().st_mode & 0o777 == 0o660
    assert list(stage.sockets.current) == [Key("one", Address(unix=str(path), mode=0o660))]
    stage.sockets.follow(_app("one", Address(unix=str(path), mode=0o666)))
    assert path.stat().st_mode & 0o777 == 0o666
    # Whoever clears the folder, as systemd does when the app ends, takes it away.
    path.unlink()
    path.parent.rename(path.parent.with_name("away"))
    stage.sockets.follow(_app("one", Address(unix=str(path), mode=0o666)))
    assert "can't be opened: " in stage.problems()[0]
    path.parent.mkdir()
    stage.clock.now += LEAVING
    stage.sockets.follow(_app("one", Address(unix=str(path), mode=0o666)))
    assert path.is_socket()
    stage.sockets.follow({})
    assert not path.exists()
    path.write_text("another's", "utf-8")
    stage.sockets.follow(_app("one", Address(unix=str(path))))
    assert "can't be opened: " in stage.problems()[0]
    assert path.read_text("utf-8") == "another's"
