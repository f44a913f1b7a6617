"""The work: what is asked for, and the bytes that must come back.

Bodies are random and the same in every process, so each side compares what arrives with what must
arrive, byte for byte: that is cheaper than a digest, and stricter.
"""

import random
from dataclasses import dataclass
from functools import cache

SMALL = 100
MIB = 1024 * 1024
SIZES = {"small": SMALL, "1mib": MIB, "64mib": 64 * MIB}
TAKEN = b"taken: every byte was right\n"
"""The answer to a body that arrived whole and unchanged; anything else isn't a 200."""


@cache
def content(name: str) -> bytes:
    """Return the body called ``name``; the small one is printable, for nginx's configuration."""
    if name == "small":
        return b"0123456789" * (SMALL // 10)
    return random.Random(name).randbytes(SIZES[name])  # noqa: S311 - the same in every process


@dataclass(frozen=True)
class Case:
    """One kind of request, on so many connections at once."""

    name: str
    method: str
    body: str
    """The name of the body that is asked for (GET) or sent (POST)."""
    connections: int

    @property
    def uploads(self) -> bool:
        """Whether the body goes up."""
        return self.method == "POST"

    @property
    def answer(self) -> bytes:
        """The body of the right answer."""
        return TAKEN if self.uploads else content(self.body)

    def request(self, host: str) -> bytes:
        """Return the whole request."""
        body = content(self.body) if self.uploads else b""
        lines = [f"{self.method} /{'take/' if self.uploads else ''}{self.body} HTTP/1.1"]
        lines += [f"host: {host}", "user-agent: bench", "accept: */*"]
        if self.uploads:
            lines += ["content-type: application/octet-stream", f"content-length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body


GETS = tuple(Case(f"get_{c}", "GET", "small", c) for c in (1, 8, 32, 128, 512))
ALONE = GETS[0]
GET = GETS[2]
POST = Case("post", "POST", "small", 32)
DOWN = Case("down_1mib", "GET", "1mib", 8)
UP = Case("up_1mib", "POST", "1mib", 8)
FAR_DOWN = Case("down_64mib", "GET", "64mib", 2)
FAR_UP = Case("up_64mib", "POST", "64mib", 2)
HOP_CASES = (*GETS, POST, DOWN, UP, FAR_DOWN, FAR_UP)
