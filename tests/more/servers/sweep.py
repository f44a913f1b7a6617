"""Finds the field names by which a server takes something else for the request than it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.wire.harness.raw import exchange, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.more.servers.catalogue import Server

VALUES = ("/public", "/private/secret", "http://evil.test/private/secret", "DELETE", "https",
          "on", "ssl", "evil.test", "8443", "owner")  # fmt: skip
"""A mount point, a path, a URI, a method, three words for a scheme, a host, a port, a user."""
_AT_ONCE = 70  # gunicorn and http.server take 100 fields


def spellings(name: str) -> tuple[str, ...]:
    """Return how a name can be written that servers turn into the same variable."""
    low = name.lower()
    under, dotted = low.replace("-", "_"), low.replace("-", ".")
    mixed = low.replace("-", "_", 1) if low.count("-") > 1 else under.upper()
    return (name, under, dotted, mixed)


@dataclass(frozen=True)
class Sweep:
    """Asks a server on one port, by one host name, again and again."""

    server: Server
    port: int
    host: str

    def ask(self, *fields: tuple[str, str], target: str = "") -> tuple[int, bytes]:
        """Return the status and the body, without what changes by itself."""
        raw = request("GET", target or self.server.target, ("Host", self.host), *fields)
        got = exchange(self.port, raw)
        return got.status, re.sub(self.server.volatile.encode(), b"", got.body)

    def moved(self, names: Sequence[str], values: Sequence[str] = VALUES) -> Iterator[str]:
        """Yield each ``name: value`` by which the answer is another one, in every spelling."""
        usual = self.ask()
        written = [spellings(name) for name in names]
        for spelled in zip(*written, strict=True):
            for value in values:
                for start in range(0, len(spelled), _AT_ONCE):
                    some = spelled[start : start + _AT_ONCE]
                    fields = [(name, value) for name in some]
                    # What moves a request does so each time; of thousands of answers one may fail.
                    if self.ask(*fields) != usual and self.ask(*fields) != usual:
                        alone = [name for name in some if self.ask((name, value)) != usual]
                        yield from (f"{name}: {value}" for name in alone or some[:1])
