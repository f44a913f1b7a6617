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
"""The bodies of every run. Others are named after their size: ``4096b``."""
_PIECE = 64 * MIB
"""The generator makes no more than 256 MB at once."""
TAKEN = b"taken: every byte was right\n"
"""The response to a body that arrived whole and unchanged; anything else isn't a 200."""


def size_of(name: str) -> int | None:
    """Return how many bytes the body called ``name`` has; None where none is called so."""
    number = name.removesuffix("b")
    if name in SIZES:
        return SIZES[name]
    return int(number) if number != name and number.isascii() and number.isdigit() else None


@cache
def content(name: str) -> bytes:
    """Return the body called ``name``; the small one is printable, for nginx's configuration."""
    size = size_of(name)
    if size is None:
        raise ValueError(f"no body is called {name}")
    if name == "small":
        return b"0123456789" * (SMALL // 10)
    source = random.Random(name)  # noqa: S311 - the same in every process
    pieces = (source.randbytes(min(_PIECE, size - start)) for start in range(0, size, _PIECE))
    return b"".join(pieces)


@dataclass(frozen=True)
class Case:
    """One kind of request, on so many connections at once."""

    name: str
    method: str
    body: str
    """The name of the body that is asked for (GET) or sent (POST)."""
    connections: int
    folder: str = ""
    """What stands before the body's name in the path, such as ``/slow``."""

    @property
    def uploads(self) -> bool:
        return self.method == "POST"

    @property
    def path(self) -> str:
        return f"{'/take' if self.uploads else ''}{self.folder}/{self.body}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The lines of the head that don't depend on who is asked."""
        lines = ("user-agent: bench", "accept: */*")
        return (*lines, "content-type: application/octet-stream") if self.uploads else lines

    @property
    def response(self) -> bytes:
        """The body of the right response."""
        return TAKEN if self.uploads else content(self.body)


GETS = tuple(Case(f"get_{c}", "GET", "small", c) for c in (1, 8, 32, 128, 512))
ALONE = GETS[0]
GET = GETS[2]
POST = Case("post", "POST", "small", 32)
DOWN = Case("down_1mib", "GET", "1mib", 8)
UP = Case("up_1mib", "POST", "1mib", 8)
FAR_DOWN = Case("down_64mib", "GET", "64mib", 2)
FAR_UP = Case("up_64mib", "POST", "64mib", 2)
HOP_CASES = (*GETS, POST, DOWN, UP, FAR_DOWN, FAR_UP)
