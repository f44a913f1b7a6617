"""The replay store's epoch: what a call must have been signed under to count (docs/protocol.md, 6).

A store can vouch for what was claimed since its epoch began. Where it can't, a new epoch begins,
and every signature made under another one is dead, whatever clocks say.
"""

import base64
import binascii
from dataclasses import dataclass

EPOCH_BYTES = 16


@dataclass(frozen=True)
class Epoch:
    """An epoch as it is told, with the time, to a sender whose call was refused."""

    value: bytes
    memory: int
    """Milliseconds for which the store has kept every claim, of this epoch or of an earlier one."""

    @property
    def text(self) -> str:
        """The value as it is written everywhere, in base64."""
        return base64.b64encode(self.value).decode("ascii")


def read_epoch(text: object) -> bytes:
    """Return the value in ``text``; raises ``ValueError`` for any but its one spelling."""
    try:
        value = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != EPOCH_BYTES or base64.b64encode(value).decode("ascii") != text:
        raise ValueError(f"an epoch is {EPOCH_BYTES} bytes in base64")
    return value
