"""Requests, counted for each peer and each app."""

from contextlib import ExitStack

import pytest

from proxy.config.limits import Bounds
from proxy.core.errors import Code, Refusal
from proxy.transfer.concurrency import Occupancy


def _occupancy() -> Occupancy:
    bounds = Bounds(requests_per_peer=2, requests_per_app=3)
    return Occupancy(bounds, app_full=Code.APP_BUSY)


def _refusal(occupancy: Occupancy, caller: str, app: str) -> Code:
    with pytest.raises(Refusal) as caught, occupancy.of(caller, app):
        pass
    return caught.value.code


def test_a_peer_at_its_bound_holds_no_other_up() -> None:
    occupancy = _occupancy()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(occupancy.of("bob", "notes"))
        assert _refusal(occupancy, "bob", "photos") is Code.TOO_MANY_REQUESTS
        with occupancy.of("eve", "notes"), occupancy.of("", "photos"):
            pass
    assert len(occupancy) == 0


def test_an_app_at_its_bound_holds_no_other_up() -> None:
    occupancy = _occupancy()
    with ExitStack() as stack:
        for caller in ("", "", "bob"):
            stack.enter_context(occupancy.of(caller, "notes"))
        assert _refusal(occupancy, "", "notes") is Code.APP_BUSY
        assert _refusal(occupancy, "eve", "notes") is Code.APP_BUSY
        with occupancy.of("bob", "photos"):
            pass
    assert len(occupancy) == 0


def test_one_that_its_app_refuses_takes_no_place_of_its_peer_s() -> None:
    occupancy = _occupancy()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(occupancy.of("", "notes"))
        for _ in range(9):
            assert _refusal(occupancy, "bob", "notes") is Code.APP_BUSY
        with occupancy.of("bob", "photos"), occupancy.of("bob", "photos"):
            pass


def test_a_place_comes_back_whatever_ends_a_request() -> None:
    occupancy = _occupancy()
    for error in (Refusal(Code.TOO_LARGE), OSError(), KeyboardInterrupt()):
        with pytest.raises(type(error)), occupancy.of("bob", "notes"):
            raise error
    assert len(occupancy) == 0


def test_what_has_no_peer_and_no_app_has_no_bound() -> None:
    occupancy = _occupancy()
    with ExitStack() as stack:
        for _ in range(99):
            stack.enter_context(occupancy.of("", ""))
