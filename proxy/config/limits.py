"""How much clients, peers and apps may take: ``limits`` of portal.yaml.

``proxy.config.timeouts`` is the same for how long they may take.

Each connection takes descriptors, of which a process may have so many and no more. A limit that is
higher than that would never be reached: connections would wait in the kernel's queue, and files
couldn't be read. So it is lowered to what fits.
"""

import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from pydantic import PlainValidator

from proxy.config.listen import LISTENERS
from proxy.core.rates import Rate
from proxy.core.text_files.rate import read_rate
from proxy.core.text_files.schema import Section
from proxy.core.text_files.shape import shaped
from proxy.core.text_files.size import read_size
from proxy.core.text_files.text import listed, shown

_KIB, _MIB, _GIB, _TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_DIGITS = 7
_EACH = 2
"""Descriptors of a connection: its own, and the one to an app or a peer."""
_OTHERS = 44
"""Descriptors of what is open without any connection, and of files that are read now and then."""
_BROWSER = 6
"""Connections that a browser opens at once."""


@dataclass(frozen=True)
class Limits:
    """Bytes, numbers of what may be there at once, and rates of what may come."""

    body: int = 10 * _GIB
    """Bytes of a request's body: a stranger's, a peer's, and of a call of an app's own."""
    held_body: int = 32 * _MIB
    """Bytes of a signed call's body, in or out, and of its response: both are held in memory."""
    spooled_body: int = _GIB
    """Bytes of all bodies that are held at once, because their apps must be told the length."""
    connections: int = 8192
    """At each listener."""
    connections_per_address: int = 2048
    refused_at_once: int = 64
    """Connections above the limit that get the time to hear so, one that TLS takes too."""
    requests_per_peer: int = 1024
    """Of one peer; likewise the calls of one app to one peer."""
    requests_per_app: int = 2048
    """To one app; likewise the calls of one app."""
    rate_per_client: Rate | None = None
    """Of strangers from one network. Here and below None is no limit."""
    rate_per_peer: Rate | None = None
    """Of one peer; likewise the calls of one app to one peer."""
    rate_per_app: Rate | None = None
    """To one app; likewise what one app asks for itself."""
    websocket_message: int = 64 * _MIB
    """Bytes over all of a message's frames, as they pass. No message is held here: this protects
    apps that hold whole ones and set no limit of their own. Most set one, and few a larger."""

    descriptors: int = sys.maxsize
    """How many a process may open: no setting of the owner's, but of the machine's."""

    @property
    def needed_descriptors(self) -> int:
        """How many a process has open whose listeners have as many connections as they may."""
        return _OTHERS + len(LISTENERS) * (_EACH * self.connections + self.refused_at_once)

    def at(self, listener: str) -> "Limits":
        """Return what holds at one listener: fewer connections where descriptors are short."""
        if self.needed_descriptors <= self.descriptors:
            return self
        refused = max(1, min(self.refused_at_once, self.descriptors // 32))
        left = (self.descriptors - _OTHERS - len(LISTENERS) * refused) // _EACH
        parts = {"public": left * 5 // 8, "apps": left * 2 // 8}
        part = parts.get(listener, left - sum(parts.values()))
        connections = max(1, min(self.connections, part))
        of_address = self.connections_per_address * connections // self.connections
        return replace(
            self,
            connections=connections,
            connections_per_address=min(connections, max(of_address, _BROWSER)),
            refused_at_once=refused,
        )

    def shortage(self) -> str:
        """Return what an owner is told where descriptors are short, "" where they aren't."""
        needed = self.needed_descriptors
        if needed <= self.descriptors:
            return ""
        fitting = [f"{self.at(name).connections} at the {name} listener" for name in LISTENERS]
        return (
            f"{self.connections} at each listener take {needed} descriptors, and a process may "
            f"open {self.descriptors} here: so they are {listed(fitting)}, until the hard limit is "
            f"raised (systemd: LimitNOFILE={needed}; a shell: ulimit -n {needed})"
        )


DEFAULT_LIMITS = Limits()


@shaped(
    {
        "type": ["string", "integer"],
        "pattern": rf"^(?=[0-9]{{1,{_DIGITS}}}$)0*[1-9][0-9]*$",
        "minimum": 1,
        "maximum": 10**_DIGITS - 1,
        "patternErrorMessage": f"expected a number from 1 to {10**_DIGITS - 1}",
    }
)
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
RateText = Annotated[Rate | None, PlainValidator(read_rate)]


class LimitsFile(Section):
    """How much clients, peers and apps may take."""

    body: Body = DEFAULT_LIMITS.body
    held_body: HeldBody = DEFAULT_LIMITS.held_body
    spooled_body: Body = DEFAULT_LIMITS.spooled_body
    connections: Count = DEFAULT_LIMITS.connections
    connections_per_address: Count = DEFAULT_LIMITS.connections_per_address
    requests_per_peer: Count = DEFAULT_LIMITS.requests_per_peer
    requests_per_app: Count = DEFAULT_LIMITS.requests_per_app
    rate_per_client: RateText = None
    rate_per_peer: RateText = None
    rate_per_app: RateText = None
    websocket_message: Body = DEFAULT_LIMITS.websocket_message

    def values(self) -> Limits:
        return Limits(**{name: getattr(self, name) for name in type(self).model_fields})
