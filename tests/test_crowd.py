"""Connections, counted in all and from each address."""

import pytest

from proxy.config.limits import Bounds
from proxy.core.http.forwarded import Trusted, read_network
from proxy.server.connection_limit import Crowd, Full

_BOUNDS = Bounds(connections=3, connections_per_address=2)


def test_one_address_has_its_share_and_the_others_theirs() -> None:
    crowd = Crowd(_BOUNDS)
    crowd.enter("192.0.2.1")
    leave = crowd.enter("192.0.2.1")
    with pytest.raises(Full, match=r"2 connections from 192\.0\.2\.1"):
        crowd.enter("192.0.2.1")
    leave()
    crowd.enter("192.0.2.1")
    crowd.enter("192.0.2.2")
    with pytest.raises(Full, match="3 connections"):
        crowd.enter("192.0.2.3")
    assert len(crowd) == 3


@pytest.mark.parametrize("address", ["", "10.0.0.1"])
def test_unix_sockets_and_trusted_web_servers_are_bound_in_all_alone(address: str) -> None:
    crowd = Crowd(_BOUNDS, Trusted((read_network("10.0.0.0/8"),)))
    for _ in range(3):
        crowd.enter(address)
    with pytest.raises(Full):
        crowd.enter(address)


def test_who_has_left_can_t_leave_again() -> None:
    crowd = Crowd(_BOUNDS)
    first, second = crowd.enter("192.0.2.1"), crowd.enter("192.0.2.1")
    for _ in range(2):
        first()
    assert len(crowd) == 1
    second()
    assert len(crowd) == 0
    assert not crowd._from, "an address that is gone is forgotten"


def test_one_that_is_refused_takes_no_place() -> None:
    crowd = Crowd(Bounds(connections=9, connections_per_address=1))
    leave = crowd.enter("192.0.2.1")
    for _ in range(20):
        with pytest.raises(Full):
            crowd.enter("192.0.2.1")
    leave()
    assert len(crowd) == 0
