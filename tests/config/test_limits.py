"""How many connections fit where a process may open so many descriptors and no more."""

from dataclasses import replace

import pytest

from proxy.config.limits import DEFAULT_LIMITS, Limits
from proxy.config.listen import LISTENERS

NEEDED = DEFAULT_LIMITS.needed_descriptors


def test_with_enough_descriptors_the_limits_are_the_owner_s() -> None:
    for descriptors in (NEEDED, NEEDED + 1, 1 << 62):
        limits = replace(DEFAULT_LIMITS, descriptors=descriptors)
        assert all(limits.at(name) is limits for name in LISTENERS)
        assert limits.shortage() == ""


@pytest.mark.parametrize("descriptors", [64, 100, 256, 1024, 4096, NEEDED - 1])
def test_with_fewer_there_are_as_many_connections_as_fit(descriptors: int) -> None:
    limits = replace(DEFAULT_LIMITS, descriptors=descriptors)
    told = limits.shortage()
    assert f"{DEFAULT_LIMITS.connections} at each listener take {NEEDED} descriptors" in told
    assert f"a process may open {descriptors} here" in told
    assert f"LimitNOFILE={NEEDED}" in told
    needed = 44
    for name in LISTENERS:
        at = limits.at(name)
        assert 1 <= at.connections_per_address <= at.connections <= DEFAULT_LIMITS.connections
        assert f"{at.connections} at the {name} listener" in told
        needed += 2 * at.connections + at.refused_at_once
    assert needed <= descriptors


def test_an_address_keeps_its_part() -> None:
    limits = Limits(connections=1000, connections_per_address=500, descriptors=1000).at("public")
    assert limits.connections_per_address == limits.connections // 2


def test_hardly_any_leave_one() -> None:
    limits = replace(DEFAULT_LIMITS, descriptors=8)
    assert {limits.at(name).connections for name in LISTENERS} == {1}
