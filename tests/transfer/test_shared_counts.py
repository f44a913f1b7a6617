"""What several workers hold together, in one process and in real ones."""

import os
import signal
from ipaddress import ip_address

import pytest

from proxy.config.limits import Limits
from proxy.core.errors import Code, Refusal
from proxy.transfer.limiters import ConcurrencyLimiter, ConnectionLimiter, Full
from proxy.transfer.shared_counts import ALONE, SharedCounts
from tests.alone import run_alone

NETWORK = ip_address("203.0.113.7")


def test_each_sees_what_the_others_hold() -> None:
    counts = SharedCounts(3)
    names = [("app", "notes"), ("app", "photos"), ("connections", "public", NETWORK)]
    for name in names:
        mine, *others = (counts.of_worker(worker).of(*name) for worker in range(3))
        for number, other in enumerate(others, start=2):
            other.add(number)
        assert [count.others() for count in (mine, *others)] == [5, 3, 2]
        mine.add(7)
        mine.add(-6)
        assert [count.others() for count in (mine, *others)] == [5, 4, 3]


def test_what_a_worker_held_that_has_ended_is_free() -> None:
    counts = SharedCounts(2)
    counts.of_worker(0).of("notes").add(4)
    counts.of_worker(1).of("notes").add(2)
    counts.forget(0)
    assert counts.of_worker(1).of("notes").others() == 0
    assert counts.of_worker(0).of("notes").others() == 2


def test_a_name_is_never_counted_too_low_and_hardly_ever_too_high() -> None:
    counts = SharedCounts(2)
    mine, theirs = counts.of_worker(0), counts.of_worker(1)
    for number in range(2000):
        theirs.of("network", f"{number}").add(1)
    found = [mine.of("network", f"{number}").others() for number in range(2000)]
    assert min(found) == 1
    strangers = [mine.of("network", f"other {number}").others() for number in range(2000)]
    assert sum(found) + sum(strangers) - 2000 < 200


def test_a_process_that_was_forked_counts_in_the_same_memory() -> None:
    run_alone(_count_in_a_forked_process)


def _count_in_a_forked_process() -> None:
    counts = SharedCounts(2)
    child = os.fork()
    if child == 0:
        counts.of_worker(1).of("network", NETWORK).add(3)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert counts.of_worker(0).of("network", NETWORK).others() == 3


def test_alone_there_are_no_others() -> None:
    count = ALONE.of("notes")
    count.add(5)
    assert count.others() == 0


def test_connections_are_those_of_all_workers() -> None:
    counts = SharedCounts(2)
    limits = Limits(connections=5, connections_per_address=3)
    one, two = (ConnectionLimiter(limits, counts=counts.of_worker(n)) for n in range(2))
    leave = one.enter("192.0.2.1")
    one.enter("192.0.2.1")
    two.enter("192.0.2.1")
    for limiter in (one, two):
        with pytest.raises(Full, match=r"3 connections from 192\.0\.2\.1"):
            limiter.enter("192.0.2.1")
    assert two.is_short("192.0.2.1")
    assert not two.is_short("192.0.2.2")
    two.enter("192.0.2.2")
    two.enter("192.0.2.3")
    for limiter in (one, two):
        with pytest.raises(Full, match="5 connections"):
            limiter.enter("192.0.2.4")
    leave()
    two.enter("192.0.2.1")
    assert (len(one), len(two)) == (1, 4)


def test_each_listener_counts_for_itself() -> None:
    counts, limits = SharedCounts(1).of_worker(0), Limits(connections=1)
    for listener in ("public", "apps"):
        limiter = ConnectionLimiter(limits, counts=counts, listener=listener)
        limiter.enter("")


def test_requests_are_those_of_all_workers() -> None:
    counts, limits = SharedCounts(2), Limits(requests_per_peer=2, requests_per_app=3)
    one, two = (
        ConcurrencyLimiter(limits, Code.APP_BUSY, counts.of_worker(worker)) for worker in range(2)
    )
    with one.of("bob", "notes"), two.of("bob", "notes"):
        for limiter in (one, two):
            with pytest.raises(Refusal) as caught, limiter.of("bob", "photos"):
                pass
            assert caught.value.code is Code.TOO_MANY_REQUESTS
            assert caught.value.detail == "bob: 2 at once"
        with two.of("eve", "notes"), pytest.raises(Refusal) as caught, one.of("ada", "notes"):
            pass
        assert caught.value.code is Code.APP_BUSY
    with two.of("bob", "notes"), two.of("bob", "notes"):
        pass
