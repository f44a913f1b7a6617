"""An app's places: how many requests it has at once, and who may hold how many of them.

``limits.requests_per_app`` are there. Strangers leave some of them to the owner's devices, and some
to peers; peers leave those of the devices. One client network holds at most a quarter. Everything
that a stranger begins holds a place to its end: a body that comes slowly, a response that isn't
taken, a WebSocket on which nobody speaks.

A quiet WebSocket is no failure, so no time ends it. But where places are short, the one of a
stranger's that was quiet for longest makes room, of the network that holds most places.

Of several workers each counts what all of them have; only one's own WebSockets make room in it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal, Protocol

from proxy.config.limits import Limits
from proxy.core.access.policy import Caller
from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import NOBODY, Trusted, client_network
from proxy.transfer.limiters import Slots
from proxy.transfer.shared_counts import ALONE, Count, Counts

SHARE = 4
"""One client network holds one in so many of an app's places."""
KEPT = 8
"""One in so many is kept for terminals, and as many for peers; at least one each of three."""

_NEARLY = 0.75
"""From this part on they are short: whoever holds one and hardly uses it is in another's way."""

_Kind = Literal["anonymous", "peer", "terminal"]


class QuietSocket(Protocol):
    """A WebSocket, as far as it is asked when it last moved."""

    last_moved: float
    """When something last passed, either way: any clock that only goes forward."""


class PlaceLimiter:
    """The requests that run at the public listener."""

    def __init__(self, limits: Limits, trusted: Trusted = NOBODY, counts: Counts = ALONE) -> None:
        """``trusted`` are web servers, whose own requests count to no network.

        ``counts`` are those of all workers.
        """
        of_peers = limits.requests_per_peer
        self._callers = Slots(of_peers, Code.TOO_MANY_REQUESTS, counts, "public callers")
        self._counts = counts
        self._most = limits.requests_per_app
        self._apps: dict[str, _AppPlaces] = {}
        self._network_of = network_reader(trusted)

    def take_settings(self, limits: Limits, trusted: Trusted) -> None:
        """Go by these from the next request on."""
        self._callers.most = limits.requests_per_peer
        self._most = limits.requests_per_app
        self._network_of = network_reader(trusted)
        for places in self._apps.values():
            places.take_most(self._most)

    def of(self, caller: Caller, app: str, client: str) -> "Place":
        """Return the place of a request of ``caller`` to ``app``, "" for the Portal; to be taken.

        ``client`` is the client's own address, as far as it is known.
        """
        network = self._network_of(client) if caller.type == "anonymous" else None
        return Place(self, caller, app, network)

    def __len__(self) -> int:
        """Return how much is counted: requests of callers, and at apps."""
        return len(self._callers) + sum(len(places) for places in self._apps.values())

    def take(self, place: "Place") -> None:
        """Count a place; raises ``Refusal``."""
        self._callers.take(place.caller.id)
        if place.app:
            places = self._apps.get(place.app)
            if places is None:
                places = _AppPlaces(place.app, self._most, self._counts)
            try:
                places.take(place)
            except Refusal:
                self._callers.give_back(place.caller.id)
                raise
            # Not before: who makes room may give the last place back, which forgets the app.
            self._apps[place.app] = places

    def give_back(self, place: "Place") -> None:
        """Count a place no more."""
        self._callers.give_back(place.caller.id)
        if place.app:
            places = self._apps[place.app]
            places.give_back(place)
            if not len(places):
                del self._apps[place.app]

    def is_short(self, place: "Place") -> bool:
        """Tell whether few places like it are left at its app."""
        return bool(place.app) and self._apps[place.app].is_nearly_short(place)

    def hold_socket(self, place: "Place") -> None:
        """Note that the place is a stranger's WebSocket's, which can make room."""
        if place.app:
            self._apps[place.app].sockets.setdefault(place.network, {})[place] = None


def network_reader(trusted: Trusted) -> Callable[[str], str | None]:
    """Return what tells the network of a client's address; None where it isn't told apart."""

    @lru_cache(maxsize=4096)
    def network_of(client: str) -> str | None:
        network = client_network(client, trusted)
        return None if network is None else str(network)  # an address takes long to hash

    return network_of


class Place:
    """A request's place, from its beginning to its end, whichever that is."""

    __slots__ = ("_evict", "_is_taken", "_limiter", "app", "caller", "network", "socket")

    def __init__(
        self, limiter: PlaceLimiter, caller: Caller, app: str, network: str | None
    ) -> None:
        self._limiter = limiter
        self._is_taken = False
        self._evict: Callable[[], None] | None = None
        self.caller = caller
        self.app = app
        self.network = network
        """The client's; None where it can't be told apart, or isn't a stranger's."""
        self.socket: QuietSocket | None = None

    def hold_socket(self, socket: QuietSocket, evict: Callable[[], None]) -> None:
        """Note that the request became a WebSocket; ``evict`` has it closed.

        A stranger's alone can be closed so.
        """
        if self._is_taken and self.caller.type == "anonymous":
            self.socket, self._evict = socket, evict
            self._limiter.hold_socket(self)

    def is_short(self) -> bool:
        """Tell whether others of its kind, or of its network, may soon miss this place."""
        return self._is_taken and self._limiter.is_short(self)

    def evict(self) -> None:
        """Give the place back now, and have what holds it closed."""
        evict = self._evict
        self._give_back()
        if evict is not None:
            evict()

    def _give_back(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._limiter.give_back(self)

    def take(self) -> None:
        """Hold it from now on; raises ``Refusal``: then it isn't held."""
        self._limiter.take(self)
        self._is_taken = True

    def close(self) -> None:
        """Hold it no more."""
        self._give_back()
        self.socket = self._evict = None  # which hold whoever holds the place


class _AppPlaces:
    """The places of one app."""

    def __init__(self, app: str, most: int, counts: Counts) -> None:
        self._app = app
        self.take_most(most)
        self._counts = counts
        self._kinds: dict[_Kind, Count] = {
            "anonymous": counts.of("places", app, "anonymous"),
            "peer": counts.of("places", app, "peer"),
            "terminal": counts.of("places", app, "terminal"),
        }
        self._taken: dict[_Kind, int] = {"anonymous": 0, "peer": 0, "terminal": 0}
        self._of_network: dict[str | None, int] = {}
        """How many each network of strangers holds."""
        self.sockets: dict[str | None, dict[Place, None]] = {}
        """Those of them that can make room, for each network; None for those not told apart."""

    def take_most(self, most: int) -> None:
        """Have so many places from now on; who has one keeps it."""
        self._most = most
        self._share = max(1, most // SHARE)
        self._kept = most // KEPT or int(most > 2)  # noqa: PLR2004 - one for each of the three

    def __len__(self) -> int:
        """Return how many places this worker's requests hold."""
        return sum(self._taken.values())

    def take(self, place: Place) -> None:
        """Count a place; raises ``Refusal``."""
        kind, network = place.caller.type, place.network
        here = self._held_by(network) if kind == "anonymous" and network is not None else 0
        if here >= self._share:
            raise Refusal(Code.APP_BUSY, f"{self._app}: {here} at once from {network}")
        if self._is_short(kind):
            quiet = self._quietest(above=here)
            if quiet is None:
                taken = sum(map(self._taken_by, self._kinds))
                raise Refusal(Code.APP_BUSY, f"{self._app}: {taken} at once")
            quiet.evict()
        self._taken[kind] += 1
        if kind == "anonymous":
            self._of_network[network] = self._of_network.get(network, 0) + 1
        if self._counts is not ALONE:
            self._tell_others(kind, network, 1)

    def give_back(self, place: Place) -> None:
        """Count a place no more."""
        self._taken[place.caller.type] -= 1
        if self._counts is not ALONE:
            self._tell_others(place.caller.type, place.network, -1)
        if place.caller.type == "anonymous":
            _decrease(self._of_network, place.network)
            if place.socket is not None:
                sockets = self.sockets[place.network]
                del sockets[place]
                if not sockets:
                    del self.sockets[place.network]

    def _tell_others(self, kind: _Kind, network: str | None, change: int) -> None:
        self._kinds[kind].add(change)
        if kind == "anonymous":
            self._count_of(network).add(change)

    def is_nearly_short(self, place: Place) -> bool:
        """Tell whether the network of ``place``, or its kind, holds nearly all that it can."""
        here = self._held_by(place.network) if place.network is not None else 0
        if here >= _NEARLY * self._share:
            return True
        return self._is_short(place.caller.type, more=int((1 - _NEARLY) * self._most))

    def _is_short(self, kind: _Kind, more: int = 0) -> bool:
        """Tell whether one of this kind and ``more`` would take what is kept, or isn't there."""
        kept = self._kept
        if self._counts is ALONE:
            strangers, peers, terminals = self._taken.values()
        else:
            strangers, peers, terminals = map(self._taken_by, self._kinds)
        if kind != "terminal" and terminals < kept:
            terminals = kept
        if kind == "anonymous" and peers < kept:
            peers = kept
        return strangers + peers + terminals + more >= self._most

    def _quietest(self, above: int) -> Place | None:
        """Return which WebSocket is to make room: that which was quiet for longest.

        Of the network that holds most places; it must hold more than ``above``, or strangers would
        only take turns.
        """
        if not self.sockets:
            return None
        most = max(map(self._held_by, self.sockets))
        return min(self._those_of(most), key=_last_moved) if most > above else None

    def _those_of(self, most: int) -> Iterator[Place]:
        for network, places in self.sockets.items():
            if self._held_by(network) == most:
                yield from places

    def _taken_by(self, kind: _Kind) -> int:
        """Return how many places all workers' requests of this kind hold."""
        return self._taken[kind] + self._kinds[kind].others()

    def _held_by(self, network: str | None) -> int:
        """Return how many places a network of strangers holds, in all workers."""
        here = self._of_network.get(network, 0)
        return here if self._counts is ALONE else here + self._count_of(network).others()

    def _count_of(self, network: str | None) -> Count:
        return self._counts.of("places", self._app, network)


def _last_moved(place: Place) -> float:
    return place.socket.last_moved if place.socket is not None else 0.0


def _decrease(counts: dict[str | None, int], key: str | None) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]  # or every network that ever came would stay
