"""Who is counted by which rate, and who shares one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from proxy.config.limits import DEFAULT_LIMITS, Limits
from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import Trusted, read_network
from proxy.core.rates import Rate
from proxy.transfer.rates import RateLimiter, RateTables
from tests.alone import run_alone

OWNER, PEER = Caller("terminal", "8271dd", "Phone"), "wtq270"
TRUSTED = Trusted((read_network("192.0.2.0/24"),))
SLOW = Rate(1, "m", 3)
STEP = SLOW.interval


@dataclass
class Clock:
    """A clock that stands still until it is told to go."""

    now: int = 10**15

    def __call__(self) -> int:
        return self.now


@dataclass
class Stage:
    """One listener, with its rates."""

    limits: Limits
    tables: RateTables = field(default_factory=RateTables)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.limiter = RateLimiter(self.tables, self.limits, TRUSTED, self.clock)

    def stranger(self, client: str) -> Callable[[], None]:
        return lambda: self.limiter.count_stranger(client)

    def at_app(self, caller: Caller, app: str = "notes") -> Callable[[], None]:
        return lambda: self.limiter.count_at_app(caller, app)

    def call(self, peer: str = PEER, app: str | None = "notes") -> Callable[[], None]:
        def called() -> None:
            self.limiter.refuse_peer(peer, app)
            self.limiter.count_peer(peer, app)

        return called

    def own_call(self, app: str = "notes", peer: str = PEER) -> Callable[[], None]:
        return lambda: self.limiter.count_call(app, peer)


def passing(ask: Callable[[], None], tries: int = 20) -> int:
    """Return how many of some tries are let through."""
    return sum(is_let_in(ask) for _ in range(tries))


def is_let_in(ask: Callable[[], None]) -> bool:
    try:
        ask()
    except Refusal as refusal:
        return refusal.code is not Code.RATE_LIMITED
    return True


def refused(ask: Callable[[], None]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        ask()
    return caught.value


def test_what_isn_t_set_counts_nobody() -> None:
    stage = Stage(DEFAULT_LIMITS)
    assert stage.limiter.of("203.0.113.7") is None
    for ask in (stage.stranger("203.0.113.7"), stage.at_app(ANONYMOUS), stage.call()):
        assert passing(ask, 1000) == 1000
    assert passing(stage.own_call(), 1000) == 1000


def test_strangers_of_one_network_share_a_rate() -> None:
    stage = Stage(Limits(rate_per_client=SLOW))
    assert passing(stage.stranger("203.0.113.7")) == 3
    assert passing(stage.stranger("::ffff:203.0.113.7")) == 0
    assert passing(stage.stranger("203.0.113.8")) == 3
    assert passing(stage.stranger("2001:db8:0:1::1")) == 3
    assert passing(stage.stranger("2001:db8:0:1:ffff::2")) == 0
    assert passing(stage.stranger("2001:db8:0:2::1")) == 3
    stage.clock.now += STEP
    assert passing(stage.stranger("203.0.113.7")) == 1


@pytest.mark.parametrize("client", ["", "unknown", "192.0.2.7"])
def test_who_can_t_be_told_apart_has_none(client: str) -> None:
    assert passing(Stage(Limits(rate_per_client=SLOW)).stranger(client), 100) == 100


def test_a_refusal_says_whose_rate_it_is_and_when_to_come_again() -> None:
    stage = Stage(Limits(rate_per_client=SLOW))
    passing(stage.stranger("203.0.113.7"))
    refusal = refused(stage.stranger("203.0.113.7"))
    assert refusal.retry_after == 60
    assert refusal.detail == "203.0.113.7: more than 1/m burst 3 (limits.rate_per_client)"
    stage.clock.now += STEP - 1
    assert refused(stage.stranger("203.0.113.7")).retry_after == 1


def test_devices_and_peers_find_what_strangers_leave_of_an_app() -> None:
    stage = Stage(Limits(rate_per_app=Rate(1, "m", 16)))
    assert passing(stage.at_app(ANONYMOUS)) == 12
    assert passing(stage.call()) == 2
    assert passing(stage.at_app(OWNER)) == 2
    assert passing(stage.at_app(ANONYMOUS, "other")) == 12
    stage.clock.now += STEP
    assert passing(stage.at_app(ANONYMOUS)) == passing(stage.call()) == 0
    assert passing(stage.at_app(OWNER)) == 1


@pytest.mark.parametrize(("burst", "strangers"), [(1, 1), (2, 2), (3, 1), (7, 5), (8, 6)])
def test_of_a_small_burst_one_each_is_kept(burst: int, strangers: int) -> None:
    stage = Stage(Limits(rate_per_app=Rate(1, "m", burst)))
    assert passing(stage.at_app(ANONYMOUS)) == strangers
    assert passing(stage.call()) + passing(stage.at_app(OWNER)) == burst - strangers


def test_a_peer_has_a_rate_for_all_apps_and_the_portal_itself() -> None:
    stage = Stage(Limits(rate_per_peer=SLOW))
    assert passing(stage.call(app=None), 1) == passing(stage.call(app="other"), 1) == 1
    assert passing(stage.call()) == 1
    assert refused(stage.call()).detail == f"{PEER}: more than 1/m burst 3 (limits.rate_per_peer)"
    assert passing(stage.call("another")) == 3


def test_a_call_that_is_refused_after_all_is_not_counted() -> None:
    stage = Stage(Limits(rate_per_peer=SLOW, rate_per_app=SLOW))
    for _ in range(20):
        stage.limiter.refuse_peer(PEER, "notes")
    assert passing(stage.call()) == 2, "one is kept for devices"


def test_an_app_that_asks_itself_is_counted_apart() -> None:
    stage = Stage(Limits(rate_per_peer=SLOW, rate_per_app=Rate(1, "m", 5)))
    assert passing(stage.own_call(), 20) == 3
    assert passing(stage.own_call(peer="")) == 2
    assert refused(stage.own_call(peer="")).detail.startswith("calls of notes: more than 1/m")
    assert passing(stage.own_call("other")) == 3
    assert passing(stage.call()) == 3, "what it is asked is another matter"
    assert passing(stage.own_call("", "")) == 20, "what shows no token is no app"


def test_a_rate_that_changes_begins_anew_and_no_other_does() -> None:
    stage = Stage(Limits(rate_per_client=SLOW, rate_per_peer=SLOW))
    client = stage.stranger("203.0.113.7")
    assert passing(client) == passing(stage.call()) == 3
    stage.limiter.take_settings(
        Limits(rate_per_client=SLOW, rate_per_peer=Rate(1, "m", 4)), TRUSTED
    )
    assert passing(client) == 0
    assert passing(stage.call()) == 4
    stage.limiter.take_settings(DEFAULT_LIMITS, TRUSTED)
    assert stage.limiter.of("203.0.113.7") is None
    assert passing(client) == 20


def test_processes_that_were_forked_count_together() -> None:
    run_alone(_count_in_a_forked_process)


def _count_in_a_forked_process() -> None:
    stage = Stage(Limits(rate_per_client=SLOW))
    client = stage.stranger("203.0.113.7")
    assert passing(client, 1) == 1
    child = os.fork()
    if child == 0:
        os._exit(passing(client, 1))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert passing(client) == 1


def test_a_request_counts_once_however_often_it_is_judged() -> None:
    stage = Stage(Limits(rate_per_client=SLOW))
    client = "203.0.113.7"
    rates = stage.limiter.of(client)
    assert rates is not None
    assert passing(rates.count_stranger) == 20
    assert passing(stage.stranger(client)) == 2
