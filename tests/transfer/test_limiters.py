"""Requests, counted for each peer and each app."""

from contextlib import ExitStack

import pytest

from proxy.config.limits import Limits
from proxy.core.errors import Code, Refusal
from proxy.transfer.limiters import ConcurrencyLimiter
from tests.transfer.holding import holding


def _concurrency() -> ConcurrencyLimiter:
    limits = Limits(requests_per_peer=2, requests_per_app=3)
    return ConcurrencyLimiter(limits, app_full=Code.APP_BUSY)


def _refusal(concurrency: ConcurrencyLimiter, caller: str, app: str) -> Code:
    with pytest.raises(Refusal) as caught, holding(concurrency.of(caller, app)):
        pass
    return caught.value.code


def test_a_peer_at_its_bound_holds_no_other_up() -> None:
    concurrency = _concurrency()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(holding(concurrency.of("bob", "notes")))
        assert _refusal(concurrency, "bob", "photos") is Code.TOO_MANY_REQUESTS
        with holding(concurrency.of("eve", "notes")), holding(concurrency.of("", "photos")):
            pass
    assert len(concurrency) == 0


def test_an_app_at_its_bound_holds_no_other_up() -> None:
    concurrency = _concurrency()
    with ExitStack() as stack:
        for caller in ("", "", "bob"):
            stack.enter_context(holding(concurrency.of(caller, "notes")))
        assert _refusal(concurrency, "", "notes") is Code.APP_BUSY
        assert _refusal(concurrency, "eve", "notes") is Code.APP_BUSY
        with holding(concurrency.of("bob", "photos")):
            pass
    assert len(concurrency) == 0


def test_one_that_its_app_refuses_takes_no_place_of_its_peer_s() -> None:
    concurrency = _concurrency()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(holding(concurrency.of("", "notes")))
        for _ in range(9):
            assert _refusal(concurrency, "bob", "notes") is Code.APP_BUSY
        with holding(concurrency.of("bob", "photos")), holding(concurrency.of("bob", "photos")):
            pass


def test_a_place_comes_back_whatever_ends_a_request() -> None:
    concurrency = _concurrency()
    for error in (Refusal(Code.TOO_LARGE), OSError(), KeyboardInterrupt()):
        with pytest.raises(type(error)), holding(concurrency.of("bob", "notes")):
            raise error
    assert len(concurrency) == 0


def test_what_has_no_peer_and_no_app_has_no_bound() -> None:
    concurrency = _concurrency()
    with ExitStack() as stack:
        for _ in range(99):
            stack.enter_context(holding(concurrency.of("", "")))
