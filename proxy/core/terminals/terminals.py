"""The owner's terminals as frozen data: whose token it is, and for how long it is good."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from proxy.core.identity import ALPHABET, encode_base32

LIFETIME = 180 * 86_400
"""Seconds without use after which a terminal is a stranger again."""
RENEW_AFTER = 86_400
"""Seconds of a day: on each, a cookie that is used is set again, to last ``LIFETIME`` anew."""
TOKEN_BYTES = 32
"""Chance that a token is made of; as text it is 43 characters of base64url (RFC 4648)."""
ID_BYTES = 4
"""Chance that an ID is made of."""
_ID_LENGTH = 6
_ID = re.compile(rf"[{ALPHABET}]{{{_ID_LENGTH}}}")


@dataclass(frozen=True)
class Terminal:
    """A device of the owner's; times are Unix seconds."""

    id: str
    name: str
    token_sha256: bytes
    """Of the token's text; the token itself is with the browser alone."""
    paired: int
    seen: int
    """When it was last used, to within a minute or two."""
    app: str = ""
    """The one app that it comes to by a device token; "" for a browser, which has a cookie."""

    def is_valid(self, now: float) -> bool:
        """Tell whether its token is still good.

        One that was last used half a year ahead was so by a clock that was wrong, and isn't good:
        who knows when it was.
        """
        return abs(now - self.seen) < LIFETIME

    def is_renewal_due(self, now: float, renewed: float) -> bool:
        """Tell whether its cookie is to be set again: it wasn't on this day (UTC) before.

        ``renewed``: when it was last, as far as anybody remembers; 0 where nobody does. When it was
        ``seen`` doesn't matter: there are pages with which no cookie is set.
        """
        return now // RENEW_AFTER not in {self.paired // RENEW_AFTER, renewed // RENEW_AFTER}


@dataclass(frozen=True)
class TerminalList:
    """The owner's terminals, in the order in which they were paired."""

    terminals: tuple[Terminal, ...] = ()
    _by_id: Mapping[str, Terminal] = field(init=False, repr=False, compare=False)
    _by_digest: Mapping[bytes, Terminal] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {terminal.id: terminal for terminal in self.terminals}
        by_digest = {terminal.token_sha256: terminal for terminal in self.terminals}
        object.__setattr__(self, "_by_id", MappingProxyType(by_id))
        object.__setattr__(self, "_by_digest", MappingProxyType(by_digest))

    def find(self, terminal_id: str) -> Terminal | None:
        """Return the terminal with exactly this ID."""
        return self._by_id.get(terminal_id)

    def by_token(self, token: bytes) -> Terminal | None:
        """Return whose token this is, be it still good or not.

        It is found by its digest. How long that takes tells of digests at most, and nobody can
        make a token for a digest.
        """
        return self._by_digest.get(token_digest(token))


def token_digest(token: bytes) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token).digest()


def is_terminal_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a terminal's ID."""
    return _ID.fullmatch(text) is not None


def terminal_id(chance: bytes) -> str:
    """Return an ID, made of ``ID_BYTES`` of chance; that no terminal has it is to be checked."""
    return encode_base32(chance)[:_ID_LENGTH]
