"""Connections, counted in all and from each address."""

import pytest

from proxy.config.limits import Limits
from proxy.core.http.forwarded import Trusted, read_network
from proxy.transfer.limiters import ConnectionLimiter, Full

_BOUNDS = Limits(connections=3, connections_per_address=2)


def test_one_address_has_its_share_and_the_others_theirs() -> None:
    limiter = ConnectionLimiter(_BOUNDS)
    limiter.enter("192.0.2.1")
    leave = limiter.enter("192.0.2.1")
    with pytest.raises(Full, match=r"2 connections from 192\.0\.2\.1"):
        limiter.enter("192.0.2.1")
    leave()
    limiter.enter("192.0.2.1")
    limiter.enter("192.0.2.2")
    with pytest.raises(Full, match="3 connections"):
        limiter.enter("192.0.2.3")
    assert len(limiter) == 3


@pytest.mark.parametrize("address", ["", "10.0.0.1"])
def test_unix_sockets_and_trusted_web_servers_are_bound_in_all_alone(address: str) -> None:
    limiter = ConnectionLimiter(_BOUNDS, Trusted((read_network("10.0.0.0/8"),)))
    for _ in range(3):
        limiter.enter(address)
    with pytest.raises(Full):
        limiter.enter(address)


def test_who_has_left_can_t_leave_again() -> None:
    limiter = ConnectionLimiter(_BOUNDS)
    first, second = limiter.enter("192.0.2.1"), limiter.enter("192.0.2.1")
    for _ in range(2):
        first()
    assert len(limiter) == 1
    second()
    assert len(limiter) == 0
    assert not limiter._from, "an address that is gone is forgotten"


def test_one_that_is_refused_takes_no_place() -> None:
    limiter = ConnectionLimiter(Limits(connections=9, connections_per_address=1))
    leave = limiter.enter("192.0.2.1")
    for _ in range(20):
        with pytest.raises(Full):
            limiter.enter("192.0.2.1")
    leave()
    assert len(limiter) == 0


def test_places_are_short_from_three_quarters_on() -> None:
    limits = Limits(connections=8, connections_per_address=4)
    limiter = ConnectionLimiter(limits, Trusted((read_network("10.0.0.0/8"),)))
    leave = [limiter.enter("192.0.2.1") for _ in range(3)]
    assert limiter.is_short("192.0.2.1")
    assert not any(map(limiter.is_short, ("192.0.2.2", "10.0.0.1", "")))
    for _ in range(3):
        limiter.enter("10.0.0.1")
    assert all(map(limiter.is_short, ("192.0.2.2", "10.0.0.1", "")))
    leave.pop()()
    assert not any(map(limiter.is_short, ("192.0.2.1", "10.0.0.1")))
