"""Pairing codes, and how guessing them is throttled, as frozen data.

A code is given out in two forms, to be typed (40 bits) and in a link (128 bits). It is good once,
in whichever, and for ten minutes. Wrong tries of the typed form are counted, for each address and
for everybody together, whether there is a code or not: the response says nothing about that. While
there were too many, even the right one isn't looked at, so that no flood of guesses can hit it; it
stays good. Of the link's form nothing is counted: nobody guesses it, and so no flood keeps the
owner out who has the link.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from proxy.core.http.forwarded import NOBODY, UNKNOWN, client_network

CODE_LENGTH = 8
CODE_BYTES = 5
"""Chance that a code to be typed is made of."""
LINK_CODE_LENGTH = 26
LINK_CODE_BYTES = 16
"""Chance that a link's code is made of."""
CODE_LIFETIME = 600
"""Seconds."""
WINDOW = 60
"""Seconds for which a wrong try is remembered."""
TRIES_OF_ONE = 5
"""Wrong tries that one address has in a ``WINDOW``; of IPv6 addresses, all that share 64 bits."""
TRIES_OF_ALL = 60
MOST_CODES = 16
"""Codes that are open at once; one more closes the oldest."""

_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE = re.compile(rf"[{_CODE_ALPHABET}]{{{CODE_LENGTH}}}")
_LINK_CODE = re.compile(rf"[{_CODE_ALPHABET}]{{{LINK_CODE_LENGTH}}}")
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None, "\t": None})
_MOST_READ = 64


@dataclass(frozen=True)
class OpenCode:
    """A code that was given out; ``made`` is Unix seconds."""

    sha256: bytes
    made: int
    link_sha256: bytes = b""
    """That of the link's form; b"" where it has none, as those that older versions gave out."""

    def is_open(self, now: float) -> bool:
        """Tell whether it is still good. One from the future is, for as long as clocks jitter."""
        return -WINDOW < now - self.made < CODE_LIFETIME


@dataclass(frozen=True)
class WrongTry:
    """A code that wasn't one; ``address`` is what ``counted_address`` makes of it."""

    address: str
    at: int

    def counts(self, now: float) -> bool:
        """Tell whether it is remembered. A clock that was set back doesn't lock anybody out."""
        return abs(now - self.at) < WINDOW


@dataclass(frozen=True)
class Pairing:
    """The open codes, and the wrong tries of the last minute."""

    codes: tuple[OpenCode, ...] = ()
    tries: tuple[WrongTry, ...] = ()

    def wait(self, address: str, now: float) -> int:
        """Return the seconds until ``address`` may try again; 0 where it may now."""
        mine = counted_address(address)
        everybodys = [each for each in self.tries if each.counts(now)]
        own = [each for each in everybodys if each.address == mine]
        return max(
            _until_one_is_over(own, TRIES_OF_ONE, now),
            _until_one_is_over(everybodys, TRIES_OF_ALL, now),
        )

    def find(self, code: str, now: float) -> OpenCode | None:
        """Return which open code this is, in either form; None where it is none of them."""
        digest, is_link = code_digest(code), is_link_code(code)
        found = None
        for each in self.codes:
            kept = each.link_sha256 if is_link else each.sha256
            if hmac.compare_digest(kept, digest) and each.is_open(now):
                found = each
        return found

    def with_code(self, code: str, now: float, link: str) -> "Pairing":
        """Open a code, to be typed or followed as a ``link``."""
        kept = self.current(now)
        codes = (*kept.codes, OpenCode(code_digest(code), int(now), code_digest(link)))
        return replace(kept, codes=codes[-MOST_CODES:])

    def without_code(self, used: OpenCode) -> "Pairing":
        """Remove a code that is used up."""
        return replace(self, codes=tuple(code for code in self.codes if code != used))

    def with_wrong_try(self, address: str, now: float) -> "Pairing":
        """Remember a wrong try. Who has to ``wait`` isn't asked for more: so they stay few."""
        kept = self.current(now)
        return replace(kept, tries=(*kept.tries, WrongTry(counted_address(address), int(now))))

    def current(self, now: float) -> "Pairing":
        """Return what isn't over."""
        codes = tuple(code for code in self.codes if code.is_open(now))
        return Pairing(codes, tuple(each for each in self.tries if each.counts(now)))


def new_code(chance: bytes) -> str:
    """Return a code to be typed, made of ``CODE_BYTES`` of chance."""
    return _spelt(chance, CODE_LENGTH)


def new_link_code(chance: bytes) -> str:
    """Return a link's code, made of ``LINK_CODE_BYTES`` of chance."""
    return _spelt(chance, LINK_CODE_LENGTH)


def shown_code(code: str) -> str:
    """Return a code as people read it: ``ABCD-EFGH``."""
    half = CODE_LENGTH // 2
    return f"{code[:half]}-{code[half:]}"


def read_code(text: str) -> str | None:
    """Return the code that somebody typed: in any case, with dashes and blanks; None for none."""
    code = _read(text)
    return code if _CODE.fullmatch(code) else None


def is_link_code(text: str) -> bool:
    """Tell whether this has the form of a link's code, read as leniently."""
    return _LINK_CODE.fullmatch(_read(text)) is not None


def code_digest(text: str) -> bytes:
    """Return what is kept of a code in either form; of what can't be one, what no code has."""
    code = _read(text) if is_link_code(text) else read_code(text) or ""
    return hashlib.sha256(code.encode("ascii")).digest()


def counted_address(address: str) -> str:
    """Return under which name an address's tries are counted: all of a network that one owns.

    What isn't an address, as where nobody knows the client, is one and the same.
    """
    one = client_network(address, NOBODY)
    if one is None:
        return UNKNOWN
    return f"{one}/64" if isinstance(one, IPv6Address) else str(one)


def _read(text: str) -> str:
    return text[:_MOST_READ].upper().translate(_MISREAD)


def _spelt(chance: bytes, length: int) -> str:
    number = int.from_bytes(chance, "big")
    return "".join(_CODE_ALPHABET[number >> 5 * place & 31] for place in range(length))


def _until_one_is_over(tries: list[WrongTry], limit: int, now: float) -> int:
    """Return the seconds until fewer than ``limit`` of these tries are remembered."""
    if len(tries) < limit:
        return 0
    last_to_wait_for = sorted(each.at for each in tries)[-limit]
    return max(1, min(WINDOW, int(last_to_wait_for + WINDOW - now) + 1))
