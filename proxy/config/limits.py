"""How much clients, peers and apps may take: ``limits`` of portal.yaml.

``proxy.config.timeouts`` is the same for how long they may take.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from pydantic import PlainValidator

from proxy.core.text_files.schema import Section
from proxy.core.text_files.size import read_size
from proxy.core.text_files.text import shown

_KIB, _MIB, _GIB, _TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_DIGITS = 7
_NUMBERS = ("connections", "connections_per_address", "requests_per_peer", "requests_per_app")


@dataclass(frozen=True)
class Limits:
    """Bytes, and numbers of what may be there at once."""

    body: int = 10 * _GIB
    """Bytes of a request's body: a stranger's, a peer's, and of a call of an app's own."""
    held_body: int = 32 * _MIB
    """Bytes of a signed call's body, in or out, and of its response: both are held in memory."""
    spooled_body: int = _GIB
    """Bytes of all bodies that are held at once, because their apps must be told the length."""
    connections: int = 8192
    """At each listener."""
    connections_per_address: int = 2048
    requests_per_peer: int = 1024
    """Of one peer; likewise the calls of one app to one peer."""
    requests_per_app: int = 2048
    """To one app; likewise the calls of one app."""
    websocket_message: int = 64 * _MIB
    """Bytes over all of a message's frames, as they pass. No message is held here: this protects
    apps that hold whole ones and set no limit of their own. Most set one, and few a larger."""

    def shared_by(self, workers: int) -> "Limits":
        """Return what each of so many workers may let in: numbers are divided, sizes aren't."""
        shares = {name: -(-getattr(self, name) // workers) for name in _NUMBERS}
        return replace(self, **shares)


DEFAULT_LIMITS = Limits()


def _read_count(value: object) -> int:
    text = value if isinstance(value, str) else ""
    is_one = text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) > 0
    if not is_one:
        what = f", not {shown(text)}" if isinstance(value, str) else ""
        raise ValueError(f"expected a number from 1 to {10**_DIGITS - 1}{what}")
    return int(text)


Body = Annotated[int, PlainValidator(partial(read_size, least=_KIB, most=100 * _TIB))]
HeldBody = Annotated[int, PlainValidator(partial(read_size, least=_KIB, most=4 * _GIB))]
Count = Annotated[int, PlainValidator(_read_count)]


class LimitsFile(Section):
    """``limits`` in portal.yaml."""

    body: Body = DEFAULT_LIMITS.body
    held_body: HeldBody = DEFAULT_LIMITS.held_body
    spooled_body: Body = DEFAULT_LIMITS.spooled_body
    connections: Count = DEFAULT_LIMITS.connections
    connections_per_address: Count = DEFAULT_LIMITS.connections_per_address
    requests_per_peer: Count = DEFAULT_LIMITS.requests_per_peer
    requests_per_app: Count = DEFAULT_LIMITS.requests_per_app
    websocket_message: Body = DEFAULT_LIMITS.websocket_message

    def values(self) -> Limits:
        return Limits(**self.model_dump())
