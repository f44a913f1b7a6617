"""A place, or a slot, that is held for as long as a test says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Holdable(Protocol):
    def take(self) -> None: ...

    def close(self) -> None: ...


_Held = TypeVar("_Held", bound=Holdable)


@contextmanager
def holding(held: _Held) -> Iterator[_Held]:
    """Take it, and give it back behind the context; raises as ``take`` does."""
    held.take()
    try:
        yield held
    finally:
        held.close()
