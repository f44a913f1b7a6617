"""The sockets of the apps' own entrances: opened and closed as apps come, change and go.

A name is looked up when its entrance is opened, and again every while, since a container's address
may change. It has to lead to one address, which is on a network of this machine's and is neither
public nor loopback; the kernel lets in nobody by another network. One process opens
them all, the first of several: ``proxy.server.handed_sockets`` has its workers get them.
"""

import errno
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from proxy.config.apps import App
from proxy.config.entrance import Entrance, address_problem
from proxy.config.listen import Address
from proxy.core.errors import Problem
from proxy.server.interfaces import interfaces_of
from proxy.server.sockets import ListeningSocket, open_socket

AGAIN = 10.0
"""Seconds after which a name is looked up again, and its interface looked for."""
SOON = 2.0
"""The same where that failed."""
LEAVING = 3.0
"""Seconds for which an address may still be in use by what was closed there."""

LOG = "proxy.entrances"
_log = logging.getLogger(LOG)


class Key(NamedTuple):
    """Whose entrance it is, and where."""

    app: str
    address: Address


class Place(NamedTuple):
    """Where an address leads just now."""

    address: Address
    interface: str = ""
    """By which alone it can be reached; "" is none, or loopback."""


def wanted_by(apps: Mapping[str, App]) -> dict[Key, Entrance]:
    """Return the entrances that ``apps`` have by their files."""
    return {
        Key(name, app.entrance.address): app.entrance for name, app in apps.items() if app.entrance
    }


def find_place(entrance: Entrance) -> Place:
    """Look up where an entrance is; raises ``OSError`` where it can't be there. May wait."""
    address = entrance.address
    if address.unix:
        return Place(address)
    host = address.host.strip("[]")
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise _Unknown(f"{host} can't be looked up: {error.strerror}") from None
    except UnicodeError:
        raise OSError(f"{host} is no name that could be looked up") from None
    addresses = sorted({str(each[4][0]) for each in found})
    if len(addresses) != 1:
        what = f"{host} leads to {' and '.join(addresses)}"
        raise OSError(f"{what}; expected a name of one network alone, or the address itself")
    own = ip_address(addresses[0].partition("%")[0])
    if what := address_problem(own, asks_token=entrance.asks_token):
        raise OSError(f"{what}" if str(own) == host else f"{host} leads to {own}, which {what}")
    written = f"[{own}]" if ":" in str(own) else str(own)
    there = Address(written, address.port)
    if own.is_loopback:
        return Place(there)
    interfaces = interfaces_of(own)
    if not interfaces:
        raise Elsewhere(f"{own} isn't an address of this machine or container")
    if len(interfaces) > 1:
        names = " and ".join(sorted(map(socket.if_indextoname, interfaces)))
        raise OSError(f"{own} is an address of {names}; expected one of one network")
    (interface,) = interfaces
    return Place(there, socket.if_indextoname(interface))


class Elsewhere(OSError):
    """An address that isn't one of this machine's, which may be right for another."""


class _Unknown(Elsewhere):
    """A name that can't be looked up just now."""


@dataclass
class _Open:
    """One that is open, and what it is known to lead to."""

    listening: ListeningSocket
    place: Place
    looked: float
    asks_token: bool
    """Whether it was opened for who shows a token: then it may be on loopback."""


class EntranceSockets:
    """All of one proxy. Everything here may wait for a nameserver or a disk; one thread at a time.

    ``current`` and ``problems`` are replaced whole, for whoever reads them meanwhile.
    """

    def __init__(
        self,
        listeners: Mapping[str, Address],
        find: Callable[[Entrance], Place] = find_place,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open none where ``listeners`` are: the Portal's others, by their names."""
        self._listeners = dict(listeners)
        self._find = find
        self._steady = steady
        self._open: dict[Key, _Open] = {}
        self._closed: dict[Address, float] = {}
        """When what was at an address was closed."""
        self._failed: dict[Key, tuple[float, OSError]] = {}
        """When one couldn't be opened, and why."""
        self.current: Mapping[Key, ListeningSocket] = {}
        self.problems: Mapping[Key, str] = {}
        """Why one can't be opened, or may not be where it should."""

    def follow(self, apps: Mapping[str, App]) -> bool:
        """Open what ``apps`` want and isn't open, close the rest; tell whether anything changed."""
        wanted, before = wanted_by(apps), dict(self.current)
        self._forget_closed()
        for key in self._open.keys() - wanted.keys():
            self._close(key)
        self._failed = {key: each for key, each in self._failed.items() if key in wanted}
        for key, entrance in wanted.items():
            failed = self._failed.get(key)
            if failed is not None and self._steady() - failed[0] < SOON:
                continue
            try:
                self._keep(key, entrance)
            except OSError as error:
                self._failed[key] = self._steady(), error
            else:
                self._failed.pop(key, None)
        problems = {key: str(error) for key, (_, error) in self._failed.items()}
        for key, what in problems.items():
            if self.problems.get(key) != what:
                _log.error("the entrance of %s at %s: %s", key.app, key.address, what)
        self.problems = problems
        self.current = {key: each.listening for key, each in self._open.items()}
        return before != self.current

    def close_ours(self) -> None:
        """Close our own descriptors: whoever serves there has others, and lets in who waits."""
        for opened in tuple(self._open.values()):
            opened.listening.close()

    def _keep(self, key: Key, entrance: Entrance) -> None:
        """Have it open, where it leads just now; raises ``OSError``."""
        now, opened = self._steady(), self._open.get(key)
        if opened is not None:
            is_open_to_more = opened.asks_token and not entrance.asks_token
            if is_open_to_more or opened.listening.is_lost:
                self._close(key)
                opened = None
        if opened is not None and (key.address.unix or now - opened.looked < AGAIN):
            return
        place = self._look_up(key, entrance)
        if opened is not None:
            opened.looked = now
            opened.asks_token = entrance.asks_token
            if opened.place == place:
                return
            self._close(key)
        self._refuse_double(key, place)
        try:
            listening = open_socket(place.address, place.interface)
        except OSError as error:
            was_closed = self._closed.get(place.address, -LEAVING)
            if error.errno == errno.EADDRINUSE and now - was_closed < LEAVING:
                return  # other workers are about to let go of it
            raise OSError(f"can't be opened: {error}") from None
        self._open[key] = _Open(listening, place, now, entrance.asks_token)
        _log.info("the entrance of %s is open at %s", key.app, listening.address)

    def _look_up(self, key: Key, entrance: Entrance) -> Place:
        """Return where it leads; one that leads where it may not is closed, and ``OSError``."""
        opened = self._open.get(key)
        try:
            self._refuse_taken(key)
            return self._find(entrance)
        except _Unknown:  # no answer is no other answer
            if opened is not None:
                opened.looked = self._steady()
            raise
        except OSError:
            if opened is not None:
                self._close(key)
            raise

    def _forget_closed(self) -> None:
        now = self._steady()
        for address, closed in tuple(self._closed.items()):
            if now - closed >= LEAVING:
                del self._closed[address]

    def _refuse_taken(self, key: Key) -> None:
        for name, address in self._listeners.items():
            if key.address.overlaps(address):
                raise OSError(f"is the address of the {name} listener; expected another one")

    def _refuse_double(self, key: Key, place: Place) -> None:
        """Refuse what leads to where another app's entrance is, by whichever name."""
        for other, opened in self._open.items():
            if other != key and opened.place.address.overlaps(place.address):
                raise OSError(f"leads to the entrance of {other.app}; expected one of its own")
        for name, address in self._listeners.items():
            if place.address.overlaps(address):
                raise OSError(f"leads to the {name} listener; expected another address")

    def _close(self, key: Key) -> None:
        opened = self._open.pop(key)
        self._closed[opened.place.address] = self._steady()
        listening = opened.listening
        if not listening.is_inherited:
            listening.stop_accepting()
        listening.close()
        _log.info("the entrance of %s at %s is closed", key.app, key.address)


def told(problems: Iterable[tuple[Key, str]]) -> tuple[Problem, ...]:
    """Return what is wrong, for the owner."""
    return tuple(Problem(f"apps/{key.app}/proxy.yaml", "entrance", what) for key, what in problems)
