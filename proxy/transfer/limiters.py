"""How much runs at once: the connections of one listener, and its requests.

Connections are counted in all and by the client's address; requests by caller and by app. Who may
hold how many of an app's places at the public listener is in ``proxy.transfer.places``. Of several
workers each counts what it has, and adds what the others have (``proxy.transfer.shared_counts``).
"""

from collections.abc import Callable

from proxy.config.limits import Limits
from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import NOBODY, Address, Trusted, client_network
from proxy.transfer.shared_counts import ALONE, Count, Counts

_SHORT = 0.75
"""From this part of its limit on, a number of connections is short."""


class Full(Exception):
    """A connection that is one too many; its text says why, for the owner's log."""


class ConnectionLimiter:
    """Counts connections from their acceptance to their end, TLS handshakes included."""

    def __init__(
        self,
        limits: Limits,
        trusted: Trusted = NOBODY,
        counts: Counts = ALONE,
        listener: str = "",
    ) -> None:
        """``trusted`` are web servers, whose clients come from one address.

        ``counts`` are those of all workers, where ``listener`` is ours in each.
        """
        self._limits = limits
        self._trusted = trusted
        self._counts = counts
        self._listener = listener
        self._all = counts.of("connections", listener)
        self._size = 0
        self._from: dict[Address, int] = {}

    @property
    def refused_at_once(self) -> int:
        """How many that are too many get the time to hear so."""
        return self._limits.refused_at_once

    def take_settings(self, limits: Limits, trusted: Trusted) -> None:
        """Go by these from the next connection on."""
        self._limits, self._trusted = limits, trusted

    def __len__(self) -> int:
        """Return how many this worker has."""
        return self._size

    def enter(self, address: str) -> Callable[[], None]:
        """Count a connection from ``address``, "" for a unix socket; raises ``Full``.

        Returns what is to be called when it has ended; a second call does nothing.
        """
        everywhere = self._size + self._all.others()
        if everywhere >= self._limits.connections:
            raise Full(f"{everywhere} connections")
        key = client_network(address, self._trusted)
        count = None
        if key is not None:
            count = self._counts.of("connections", self._listener, key)
            here = self._from.get(key, 0)
            everywhere = here + count.others()
            if everywhere >= self._limits.connections_per_address:
                raise Full(f"{everywhere} connections from {key}")
            self._from[key] = here + 1
            count.add(1)
        self._size += 1
        self._all.add(1)
        return _Once(self, key, count)

    def is_short(self, address: str) -> bool:
        """Tell whether few places are left for connections, in all or for those of ``address``.

        Then who holds one and hardly uses it is in another one's way.
        """
        if self._size + self._all.others() >= _SHORT * self._limits.connections:
            return True
        key = client_network(address, self._trusted)
        if key is None:
            return False
        others = self._counts.of("connections", self._listener, key).others()
        return self._from.get(key, 0) + others >= _SHORT * self._limits.connections_per_address

    def leave(self, key: Address | None, count: Count | None) -> None:
        """Count it no more."""
        self._size -= 1
        self._all.add(-1)
        if key is not None and count is not None:
            count.add(-1)
            self._from[key] -= 1
            if not self._from[key]:
                del self._from[key]


class _Once:
    """A connection that leaves once, however often it is told to."""

    __slots__ = ("_count", "_key", "_limiter")

    def __init__(
        self, limiter: ConnectionLimiter, key: Address | None, count: Count | None
    ) -> None:
        self._limiter: ConnectionLimiter | None = limiter
        self._key = key
        self._count = count

    def __call__(self) -> None:
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.leave(self._key, self._count)


class ConcurrencyLimiter:
    """The requests that run at one listener."""

    def __init__(
        self, limits: Limits, app_full: Code, counts: Counts = ALONE, listener: str = ""
    ) -> None:
        """``app_full`` is what one hears whose request is one too many for its app."""
        callers, apps = f"{listener} callers", f"{listener} apps"
        self._callers = Slots(limits.requests_per_peer, Code.TOO_MANY_REQUESTS, counts, callers)
        self._apps = Slots(limits.requests_per_app, app_full, counts, apps)

    def take_limits(self, limits: Limits) -> None:
        """Go by these from the next request on."""
        self._callers.most = limits.requests_per_peer
        self._apps.most = limits.requests_per_app

    def of(self, caller: str, app: str) -> "_Slot":
        """Return the slot of a request of ``caller`` to ``app``, "" where none is; to be taken."""
        return _Slot(self._callers, caller, self._apps, app)

    def __len__(self) -> int:
        """Return how many slots are taken, those of callers and those of apps."""
        return len(self._callers) + len(self._apps)


class Slots:
    """As many as ``most`` for each name; "" has no limit. ``of_what`` the names are."""

    def __init__(self, most: int, full: Code, counts: Counts = ALONE, of_what: str = "") -> None:
        self.most = most
        self._full = full
        self._counts = counts
        self._of_what = of_what
        self._taken: dict[str, int] = {}

    def take(self, name: str) -> None:
        taken = self._taken.get(name, 0)
        if name:
            count = self._counts.of(self._of_what, name)
            everywhere = taken + count.others()
            if everywhere >= self.most:
                raise Refusal(self._full, f"{name}: {everywhere} at once")
            count.add(1)
        self._taken[name] = taken + 1

    def give_back(self, name: str) -> None:
        if name:
            self._counts.of(self._of_what, name).add(-1)
        left = self._taken[name] - 1
        if left:
            self._taken[name] = left
        else:
            del self._taken[name]  # or every name that ever came would stay

    def __len__(self) -> int:
        return sum(self._taken.values())


class _Slot:
    """A slot of both, from the beginning of a request to its end, whichever that is."""

    __slots__ = ("_app", "_apps", "_caller", "_callers", "_is_taken")

    def __init__(self, callers: Slots, caller: str, apps: Slots, app: str) -> None:
        self._callers = callers
        self._caller = caller
        self._apps = apps
        self._app = app
        self._is_taken = False

    def take(self) -> None:
        """Take both; raises ``Refusal``: then none was taken."""
        self._callers.take(self._caller)
        try:
            self._apps.take(self._app)
        except Refusal:
            self._callers.give_back(self._caller)
            raise
        self._is_taken = True

    def close(self) -> None:
        """Give both back. A second call does nothing."""
        if self._is_taken:
            self._is_taken = False
            self._callers.give_back(self._caller)
            self._apps.give_back(self._app)
