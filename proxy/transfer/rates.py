"""Limits on rates: how often a client network, a peer and an app may ask, or be asked.

Each is off unless the owner set it. Who has proven to be a peer or a device isn't counted by
network, for a household or a tunnel has one address. Of an app's burst an eighth is kept for
devices and an eighth for peers, as of its places: however many strangers ask, these come first.

A peer's call is looked at before its nonce is claimed, and counted after that: a copy of a call
that somebody overheard takes nothing from its sender. Of several workers all count in one memory.
"""

import mmap
import time
from collections.abc import Callable

from proxy.config.limits import Limits
from proxy.core.access.policy import Caller
from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import NOBODY, Trusted
from proxy.core.rates import CELLS, Rate, RateTable
from proxy.transfer.places import KEPT, network_reader

_CELL = 8
_SECOND = 1_000_000_000
_KINDS_BEHIND = {"terminal": 0, "peer": 1, "anonymous": 2}
"""For how many other kinds a kind of caller leaves something of an app's burst."""


class RateTables:
    """What was asked; processes that are forked from this one share it.

    What is never written to takes no memory.
    """

    def __init__(self) -> None:
        memory = memoryview(mmap.mmap(-1, 3 * CELLS * _CELL)).cast("q")
        self.clients, self.peers, self.apps = (
            RateTable(memory[at : at + CELLS]) for at in range(0, 3 * CELLS, CELLS)
        )


class RateLimiter:
    """The rates at one listener."""

    def __init__(
        self,
        tables: RateTables,
        limits: Limits,
        trusted: Trusted = NOBODY,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``trusted`` are web servers, whose own requests count to no network."""
        self._tables = tables
        self.clock = clock
        self._take(limits, trusted)

    def take_settings(self, limits: Limits, trusted: Trusted = NOBODY) -> None:
        """Go by these from the next request on; where a rate is another one, it begins anew."""
        tables, before = self._tables, (self._of_client, self._of_peer, self._of_app)
        self._take(limits, trusted)
        now = self._of_client, self._of_peer, self._of_app
        for table, old, new in zip(
            (tables.clients, tables.peers, tables.apps), before, now, strict=True
        ):
            if old != new:
                table.clear()

    def _take(self, limits: Limits, trusted: Trusted) -> None:
        self._of_client = limits.rate_per_client
        self._of_peer = limits.rate_per_peer
        self._of_app = limits.rate_per_app
        self._is_on = any((self._of_client, self._of_peer, self._of_app))
        self._network_of = network_reader(trusted)

    def of(self, client: str) -> "ClientRates | None":
        """Return what counts a request that came from this address; None where all are off."""
        return ClientRates(self, client) if self._is_on else None

    def count_stranger(self, client: str) -> None:
        """Count a request of somebody unknown; raises ``Refusal``."""
        rate = self._of_client
        network = self._network_of(client) if rate is not None else None
        if rate is not None and network is not None:
            now, table = self.clock(), self._tables.clients
            _refuse_early(table.wait(network, rate, now), network, rate, "client")
            table.count(network, rate, now)

    def count_at_app(self, caller: Caller, app: str) -> None:
        """Count a request of a stranger's or a device's to ``app``; raises ``Refusal``."""
        rate = self._of_app
        if rate is not None:
            now = self.clock()
            self._refuse_at_app(caller.type, app, rate, now)
            self._tables.apps.count(app, rate, now)

    def refuse_peer(self, peer: str, app: str | None) -> None:
        """Refuse a call that comes too early, to ``app`` or the Portal itself; counts nothing."""
        now = self.clock()
        if (rate := self._of_peer) is not None:
            _refuse_early(self._tables.peers.wait(peer, rate, now), peer, rate, "peer")
        if app is not None and (rate := self._of_app) is not None:
            self._refuse_at_app("peer", app, rate, now)

    def count_peer(self, peer: str, app: str | None) -> None:
        """Count a call that is carried out."""
        now = self.clock()
        if (rate := self._of_peer) is not None:
            self._tables.peers.count(peer, rate, now)
        if app is not None and (rate := self._of_app) is not None:
            self._tables.apps.count(app, rate, now)

    def count_call(self, app: str, peer: str) -> None:
        """Count what ``app`` asks for itself: a call to ``peer``, "" for none. Raises ``Refusal``.

        A blank in a name keeps these apart from what an app is asked, and peers ask.
        """
        if not (self._is_on and app):
            return
        now, apps, peers = self.clock(), self._tables.apps, self._tables.peers
        calls, to_peer = f"calls of {app}", f"{app} to {peer}"
        by_peer = self._of_peer if peer else None
        if (by_app := self._of_app) is not None:
            _refuse_early(apps.wait(calls, by_app, now), calls, by_app, "app")
        if by_peer is not None:
            _refuse_early(peers.wait(to_peer, by_peer, now), to_peer, by_peer, "peer")
            peers.count(to_peer, by_peer, now)
        if by_app is not None:
            apps.count(calls, by_app, now)

    def _refuse_at_app(self, kind: str, app: str, rate: Rate, now: int) -> None:
        part = rate.burst // KEPT or int(rate.burst > 2)  # noqa: PLR2004 - one for each of the three
        kept = part * _KINDS_BEHIND[kind]
        _refuse_early(self._tables.apps.wait(app, rate, now, kept), app, rate, "app")


class ClientRates:
    """The rates as a request of one client asks for them: ``Rates`` of the gate."""

    __slots__ = ("_client", "_is_counted", "_limiter")

    def __init__(self, limiter: RateLimiter, client: str) -> None:
        self._limiter = limiter
        self._client = client
        self._is_counted = False

    def count_stranger(self) -> None:
        """Count a request of somebody unknown, for its network; raises ``Refusal``.

        Once, however often the gate is asked: perhaps again, behind something that takes time.
        """
        if not self._is_counted:
            self._limiter.count_stranger(self._client)
            self._is_counted = True

    def count_at_app(self, caller: Caller, app: str) -> None:
        """Count a request of a stranger's or a device's to ``app``; raises ``Refusal``."""
        self._limiter.count_at_app(caller, app)

    def refuse_peer(self, peer: str, app: str | None) -> None:
        """Refuse a call that comes too early; counts nothing."""
        self._limiter.refuse_peer(peer, app)

    def count_peer(self, peer: str, app: str | None) -> None:
        """Count a call that is carried out."""
        self._limiter.count_peer(peer, app)


def _refuse_early(wait: int, whose: str, rate: Rate, key: str) -> None:
    if wait:
        seconds = -(-wait // _SECOND)
        detail = f"{whose}: more than {rate} (limits.rate_per_{key})"
        raise Refusal(Code.RATE_LIMITED, detail, retry_after=seconds)
