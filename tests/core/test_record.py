"""A record is to its users what a frozen dataclass with slots is, but for what mypy sees to."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest

from proxy.core.record import record


@record(frozen=True, slots=True)
class _Made:
    name: bytes
    count: int = 0
    aside: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Frozen:
    name: bytes
    count: int = 0
    aside: tuple[int, ...] = field(default=(), compare=False, repr=False)


def test_it_is_compared_hashed_shown_and_replaced_as_a_frozen_one_is() -> None:
    made, frozen = _Made(b"a", 1, (2,)), _Frozen(b"a", 1, (2,))
    assert made == _Made(b"a", 1)
    assert made != _Made(b"a", 2)
    assert hash(made) == hash(frozen)
    assert repr(made) == repr(frozen).replace("_Frozen", "_Made")
    assert replace(made, count=3) == _Made(b"a", 3)
    assert {made: 1}[_Made(b"a", 1)] == 1


def test_no_attribute_is_added() -> None:
    with pytest.raises(AttributeError):
        cast(object, _Made(b"a")).__setattr__("other", 1)


if TYPE_CHECKING:  # mypy complains here where it lets anybody change one

    def _nobody_changes_one(made: _Made) -> None:
        made.count = 1  # type: ignore[misc]
