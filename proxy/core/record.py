"""Immutable dataclasses that are quickly made: each request needs ten of them.

To whoever checks types ``record`` is ``dataclass``, so nobody changes what is ``frozen``. At run
time it isn't: there ``frozen`` costs a call for each attribute, four times what the rest costs.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool) -> partial:
        """Make a class a slotted dataclass that can be hashed, as a frozen one can."""
        return partial(dataclass, slots=slots, unsafe_hash=frozen)
