"""An app's places: who may hold how many, and whose quiet WebSocket makes room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from proxy.config.limits import DEFAULT_LIMITS, Limits
from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import Trusted, read_network
from proxy.transfer.places import Place, PlaceLimiter
from proxy.transfer.shared_counts import SharedCounts
from tests.transfer.holding import holding

MOST = 16
SHARE, KEPT = 4, 2
STRANGERS = MOST - 2 * KEPT
OWNER = Caller("terminal", "8271dd", "Phone")
UNKNOWN = "unknown"


@dataclass
class Socket:
    """A WebSocket that last moved then."""

    last_moved: float


class App:
    """One app's places, and what holds them."""

    def __init__(self, stack: ExitStack, most: int = MOST, of_peer: int = 1024) -> None:
        limits = Limits(requests_per_app=most, requests_per_peer=of_peer)
        trusted = Trusted((read_network("192.0.2.0/24"),))
        self.places = PlaceLimiter(limits, trusted)
        self.closed: list[str] = []
        self._stack = stack
        self._peers = 0

    def take(self, caller: Caller, client: str = UNKNOWN, app: str = "notes") -> Place:
        return self._stack.enter_context(holding(self.places.of(caller, app, client)))

    def stranger(self, client: str) -> Place:
        return self.take(ANONYMOUS, client)

    def socket(self, client: str, last_moved: float, name: str = "") -> Place:
        place = self.stranger(client)
        place.hold_socket(Socket(last_moved), lambda: self.closed.append(name or client))
        return place

    def peer(self) -> Place:
        self._peers += 1
        return self.take(Caller("peer", f"peer{self._peers}"))

    def many(self, kind: str) -> int:
        """Take as many as there are for one kind; return how many."""
        taken = 0
        while self._takes(kind, taken):
            taken += 1
        return taken

    def _takes(self, kind: str, number: int) -> bool:
        try:
            if kind == "stranger":
                self.stranger(address(number))
            elif kind == "peer":
                self.peer()
            else:
                self.take(OWNER)
        except Refusal as refusal:
            return refusal.code is not Code.APP_BUSY
        return True


def address(number: int) -> str:
    return f"198.51.{number // 200}.{number % 200}"


@pytest.fixture
def app() -> Iterator[App]:
    with ExitStack() as stack:
        made = App(stack)
        yield made
    assert len(made.places) == 0
    assert not made.places._apps


@contextmanager
def busy(detail: str = "") -> Iterator[None]:
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.code is Code.APP_BUSY
    assert detail in caught.value.detail


# Shares


@pytest.mark.parametrize(
    ("clients", "others"),
    [
        (["203.0.113.7"], ["203.0.113.8", UNKNOWN]),
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:9::"], ["2001:db8:0:1::1"]),
        (["203.0.113.7", "::ffff:203.0.113.7"], ["203.0.114.7"]),
    ],
)
def test_one_network_holds_a_quarter(app: App, clients: list[str], others: list[str]) -> None:
    for number in range(SHARE):
        app.stranger(clients[number % len(clients)])
    for client in clients:
        with busy("at once from"):
            app.stranger(client)
    for other in others:
        app.stranger(other)


@pytest.mark.parametrize("client", [UNKNOWN, "_hidden", "", "192.0.2.1"])
def test_who_cannot_be_told_apart_has_no_share_but_leaves_what_is_kept(
    app: App, client: str
) -> None:
    for _ in range(STRANGERS):
        app.stranger(client)
    with busy():
        app.stranger(client)
    app.peer()
    app.take(OWNER)


def test_a_share_is_of_one_app_and_comes_back(app: App) -> None:
    with ExitStack() as stack:
        for _ in range(SHARE):
            stack.enter_context(holding(app.places.of(ANONYMOUS, "notes", "203.0.113.7")))
            app.take(ANONYMOUS, "203.0.113.7", app="photos")
    app.stranger("203.0.113.7")


def test_the_portals_own_paths_have_no_bound(app: App) -> None:
    for _ in range(9 * MOST):
        app.take(ANONYMOUS, "203.0.113.7", app="")


def test_the_owner_and_peers_have_no_share(app: App) -> None:
    """One address may be a household's, or a tunnel's, with all who come through it."""
    for _ in range(SHARE):
        app.stranger("203.0.113.7")
    for _ in range(SHARE + 1):
        app.take(OWNER, "203.0.113.7")
    for number in range(KEPT):
        app.take(Caller("peer", f"{number}"), "203.0.113.7")


# What is kept


@pytest.mark.parametrize(
    ("most", "strangers", "peers"),
    [(2048, 1536, 1792), (16, 12, 14), (8, 6, 7), (4, 2, 3), (3, 1, 2), (2, 2, 2), (1, 1, 1)],
)
def test_some_places_are_kept(most: int, strangers: int, peers: int) -> None:
    for kind, count in (("stranger", strangers), ("peer", peers), ("terminal", most)):
        with ExitStack() as stack:
            assert App(stack, most, of_peer=most + 1).many(kind) == count


def test_it_is_an_eighth_by_default() -> None:
    with ExitStack() as stack:
        most = DEFAULT_LIMITS.requests_per_app
        assert App(stack, most).many("stranger") == most - 2 * (most // 8)


def test_strangers_in_all_places_of_theirs_keep_nobody_else_out(app: App) -> None:
    assert app.many("stranger") == STRANGERS
    assert app.many("peer") == KEPT
    assert app.many("terminal") == KEPT


def test_peers_in_all_places_of_theirs_keep_the_owner_in(app: App) -> None:
    assert app.many("peer") == MOST - KEPT
    with busy():
        app.stranger("203.0.113.7")
    assert app.many("terminal") == KEPT


def test_what_somebody_takes_beyond_what_is_kept_is_everybodys(app: App) -> None:
    for _ in range(KEPT + 3):
        app.take(OWNER)
    assert app.many("stranger") == STRANGERS - 3
    assert app.many("peer") == KEPT


def test_a_peer_at_its_bound_takes_no_place_of_the_app() -> None:
    with ExitStack() as stack:
        app = App(stack, of_peer=2)
        bob = Caller("peer", "bob")
        for _ in range(2):
            app.take(bob)
        with pytest.raises(Refusal) as caught:
            app.take(bob)
        assert caught.value.code is Code.TOO_MANY_REQUESTS
        assert len(app.places) == 4


def test_one_that_its_app_refuses_takes_no_place_of_its_peer_s() -> None:
    with ExitStack() as stack:
        app = App(stack, most=1, of_peer=1)
        app.stranger("203.0.113.7")
        bob = Caller("peer", "bob")
        for _ in range(3):
            with busy():
                app.take(bob)
        app.take(bob, app="photos")


# Who makes room


def test_the_longest_quiet_socket_of_the_network_that_holds_most_makes_room(app: App) -> None:
    for number in range(4):
        app.socket("203.0.113.1", 50 - number, f"one {number}")
    for _ in range(4):
        app.stranger("203.0.113.2")
    for number in range(3):
        app.socket("203.0.113.3", number, f"three {number}")
    app.stranger("203.0.113.4")
    app.stranger("203.0.113.5")
    assert app.closed == ["one 3"]
    app.stranger("203.0.113.6")
    assert app.closed == ["one 3", "three 0"]


def test_a_socket_that_spoke_meanwhile_is_not_the_quietest(app: App) -> None:
    first = app.socket("203.0.113.1", 1, "first")
    app.socket("203.0.113.1", 2, "second")
    app.stranger("203.0.113.1")
    for number in range(STRANGERS - 3):
        app.stranger(address(number))
    assert isinstance(first.socket, Socket)
    first.socket.last_moved = 3
    app.stranger("203.0.113.9")
    assert app.closed == ["second"]


@pytest.mark.parametrize(("kind", "most"), [("terminal", MOST), ("peer", MOST - KEPT)])
def test_quiet_sockets_make_room_for_the_owner_and_for_peers(
    app: App, kind: str, most: int
) -> None:
    for number in range(STRANGERS):
        app.socket(address(number), number)
    assert app.many(kind) == most
    assert app.closed == [address(number) for number in range(STRANGERS)]


def test_strangers_do_not_take_turns(app: App) -> None:
    """Who holds as many as the network with the most is refused: both would close each other."""
    for number in range(STRANGERS):
        app.socket(address(number), number)
    with busy():
        app.stranger(address(0))
    app.stranger("203.0.113.7")
    assert app.closed == [address(0)]


def test_a_network_at_its_share_closes_nothing_of_its_own(app: App) -> None:
    for number in range(SHARE):
        app.socket("203.0.113.7", number)
    with busy():
        app.socket("203.0.113.7", 9)
    assert app.closed == []


def test_those_that_cannot_be_told_apart_make_room_for_each_other(app: App) -> None:
    for number in range(STRANGERS):
        app.socket(UNKNOWN, number, f"{number}")
    app.socket(UNKNOWN, 99)
    app.stranger("203.0.113.7")
    assert app.closed == ["0", "1"]


def test_only_sockets_make_room_and_only_strangers(app: App) -> None:
    for number in range(STRANGERS):
        app.stranger(address(number))
    for caller in (OWNER, Caller("peer", "bob")):
        for _ in range(KEPT):
            place = app.take(caller)
            place.hold_socket(Socket(0), lambda: app.closed.append("theirs"))
    for caller in (ANONYMOUS, OWNER, Caller("peer", "eve")):
        with busy():
            app.take(caller, "203.0.113.7")
    assert app.closed == []


@pytest.mark.parametrize("most", [1, 3])
def test_the_only_one_may_make_room(most: int) -> None:
    with ExitStack() as stack:
        app = App(stack, most)
        app.socket("203.0.113.1", 1)
        place = app.stranger("203.0.113.2")
        assert app.closed == ["203.0.113.1"]
        assert place.is_short()
        with busy():
            app.stranger("203.0.113.3")
    assert len(app.places) == 0
    assert not app.places._apps


def test_a_place_that_was_given_back_is_free_once(app: App) -> None:
    with holding(app.places.of(ANONYMOUS, "notes", "203.0.113.7")) as place:
        place.hold_socket(Socket(0), lambda: app.closed.append("closed"))
        place.evict()
        assert len(app.places) == 0
        place.evict()
    place.hold_socket(Socket(0), lambda: None)
    assert len(app.places) == 0
    assert app.closed == ["closed"] * 2


@pytest.mark.parametrize("error", [Refusal(Code.TOO_LARGE), OSError(), KeyboardInterrupt()])
def test_a_place_comes_back_whatever_ends_a_request(app: App, error: BaseException) -> None:
    with pytest.raises(type(error)), holding(app.places.of(ANONYMOUS, "notes", "203.0.113.7")):
        raise error
    assert len(app.places) == 0


def test_places_are_short_before_they_are_gone(app: App) -> None:
    first = app.stranger("203.0.113.1")
    assert not first.is_short()
    for _ in range(SHARE - 2):
        app.stranger("203.0.113.1")
    assert first.is_short(), "of its network"
    other = app.stranger("203.0.113.2")
    assert not other.is_short()
    for number in range(3, 8):
        app.stranger(f"203.0.113.{number}")
    assert other.is_short(), "of strangers"
    assert not app.take(OWNER).is_short()


def test_what_was_given_back_or_is_the_portals_own_is_never_short(app: App) -> None:
    own = app.take(ANONYMOUS, app="")
    with holding(app.places.of(ANONYMOUS, "notes", UNKNOWN)) as place:
        for _ in range(STRANGERS - 1):
            app.stranger(UNKNOWN)
        assert place.is_short()
    assert not place.is_short()
    assert not own.is_short()


# Several workers


@pytest.fixture
def two(app: App) -> tuple[App, App]:
    """Two workers that serve the same apps."""
    counts, limits = SharedCounts(2), Limits(requests_per_app=MOST)
    trusted = Trusted((read_network("192.0.2.0/24"),))
    other = App(app._stack)
    for number, worker in enumerate((app, other)):
        worker.places = PlaceLimiter(limits, trusted, counts.of_worker(number))
    return app, other


def test_workers_count_together(two: tuple[App, App]) -> None:
    for number in range(STRANGERS):
        two[number % 2].stranger(address(number))
    for worker in two:
        with busy(f"{STRANGERS} at once"):
            worker.stranger("203.0.113.7")
    assert two[0].many("peer") == KEPT
    assert two[1].many("peer") == 0
    assert two[1].many("terminal") == KEPT


def test_a_network_holds_a_quarter_of_all_workers_places(two: tuple[App, App]) -> None:
    for number in range(SHARE):
        two[number % 2].stranger("203.0.113.7")
    for worker in two:
        with busy(f"{SHARE} at once from"):
            worker.stranger("203.0.113.7")
        worker.stranger("203.0.113.8")


def test_only_a_worker_s_own_sockets_make_room_in_it(two: tuple[App, App]) -> None:
    for number in range(STRANGERS):
        two[0].socket(address(number), number)
    with busy():
        two[1].stranger("203.0.113.7")
    two[0].stranger("203.0.113.7")
    assert two[0].closed == [address(0)]


def test_the_only_one_that_a_worker_has_may_make_room(two: tuple[App, App]) -> None:
    two[0].socket("203.0.113.1", 1)
    for _ in range(STRANGERS - 1):
        two[1].stranger(UNKNOWN)
    two[0].stranger("203.0.113.2")
    assert two[0].closed == ["203.0.113.1"]
    assert len(two[0].places) == 2
    for worker in two:
        with busy(f"{STRANGERS} at once"):
            worker.stranger("203.0.113.3")
