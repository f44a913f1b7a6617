"""Looks at the sealing keys: one at a time, each awaited for a while and told once."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from proxy.inbound import key_look
from proxy.inbound.key_look import AwaitedLook, KeyLook
from tests.patience import PATIENCE

from .envelope_sides import Store, some_turns, until

if TYPE_CHECKING:
    import pytest


def looks() -> tuple[Store, KeyLook, threading.Event]:
    """Return keys whose disk answers when the event is set."""
    store, may_end = Store(), threading.Event()

    def wait() -> None:
        assert may_end.wait(PATIENCE)

    store.look = wait
    return store, KeyLook(cast("Any", store)), may_end


async def test_all_who_wait_are_told_of_one_look_and_the_next_is_another() -> None:
    store, look, may_end = looks()
    told: list[int] = []
    for number in range(3):
        look.begin(partial(told.append, number))
    await some_turns()
    assert told == []
    may_end.set()
    await until(lambda: len(told) == 3)
    assert store.looks == 1
    look.begin(partial(told.append, 3))
    await until(lambda: len(told) == 4)
    assert store.looks == 2


async def test_a_look_that_takes_too_long_is_over_for_who_waits_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, look, may_end = looks()
    monkeypatch.setattr(key_look, "LOOK_WAIT", 0.01)
    told: list[str] = []
    look.begin(partial(told.append, "early"))
    await until(partial(len, told))
    monkeypatch.setattr(key_look, "LOOK_WAIT", PATIENCE)
    look.begin(partial(told.append, "late"))
    may_end.set()
    await until(lambda: len(told) == 2)
    await some_turns()
    assert told == ["early", "late"]
    assert store.looks == 1


async def test_who_waits_no_more_is_told_nothing() -> None:
    """Not even where the look is over and the others are told just now."""
    store, look, may_end = looks()
    told: list[str] = []
    waits: list[AwaitedLook] = []

    def first() -> None:
        told.append("first")
        waits[1].cancel()

    waits += [look.begin(first), look.begin(partial(told.append, "second"))]
    waits += [look.begin(partial(told.append, "third"))]
    waits[2].cancel()
    waits[2].cancel()
    may_end.set()
    await until(partial(len, told))
    await some_turns()
    assert told == ["first"]
    assert store.looks == 1
