"""How the load asks a subject: the same work, under whatever name and path this one takes it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bench.work import Case, content

LOOPBACK = "127.0.0.1"


class Signer(Protocol):
    """Signs requests beforehand: each is good for one use, and for a minute."""

    def signed(self, case: Case, count: int) -> Iterator[bytes]:
        """Return ``count`` requests, all made when this returns."""


@dataclass(frozen=True)
class Endpoint:
    """Where a subject takes requests."""

    port: int
    host: str = ""
    """The field value that it is asked under; by default the address."""
    prefix: str = ""
    """What stands before the app's own path."""
    fields: tuple[str, ...] = ()
    """Further lines of the head."""
    signer: Signer | None = field(default=None, compare=False)
    secure: bool = False
    """Whether it speaks TLS; its certificate may be anybody's."""

    def request(self, case: Case) -> bytes:
        """Return a whole request, unsigned."""
        body = content(case.body) if case.uploads else b""
        lines = [f"{case.method} {self.prefix}{case.path} HTTP/1.1"]
        lines += [f"host: {self.host or f'{LOOPBACK}:{self.port}'}", *case.fields, *self.fields]
        if case.uploads:
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def requests(self, case: Case, count: int) -> Iterator[bytes]:
        """Return what to send, one after the other: at least ``count``, unsigned without end."""
        if self.signer is None:
            return itertools.repeat(self.request(case))
        return self.signer.signed(case, count)
