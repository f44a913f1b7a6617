"""An origin: the scheme, host and port that a Portal or an app is reached at (RFC 9110, 4.3.1).

Parsed strictly and once, from configuration or the contact list, never from a request.
"""

import re
from typing import Literal, cast

from proxy.core.record import record
from proxy.core.text_files.shape import any_case, numbers
from proxy.core.text_files.text import shown

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9a-f:.]+\]|(?=[a-z0-9._-]{1,253}(?:[:/]|$))[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?/?"
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
DEFAULT_PORTS = {"http": 80, "https": 443}
LAST_PORT = 65535

PORT_SHAPE = numbers(1, LAST_PORT)
"""This and the others below are patterns for JSON Schemas."""


def label_shape(mark: str = "") -> str:
    """Return the pattern of a label in any case; ``mark`` is a pattern that may stand in it."""
    end, middle = _one_of("A-Za-z0-9", mark), _one_of("A-Za-z0-9-", mark)
    return f"{end}(?:{middle}{{0,61}}{end})?"


def authority_shape(mark: str = "") -> str:
    """Return the pattern of what ``parse_origin`` takes for host and port."""
    address, all_of_it = _one_of("0-9A-Fa-f:.", mark), _one_of("A-Za-z0-9._-", mark)
    label = f"{_one_of('A-Za-z0-9_-', mark)}{{1,63}}"
    name = rf"(?={all_of_it}{{1,253}}(?:[:/]|$)){label}(?:\.{label})*"
    return rf"(?:\[{address}+\]|{name})(?::{PORT_SHAPE})?"


def origin_shape(mark: str = "") -> str:
    """Return the pattern of what ``parse_origin`` takes."""
    return f"{any_case('http')}[Ss]?://{authority_shape(mark)}/?"


def _one_of(letters: str, mark: str) -> str:
    return f"(?:[{letters}]|{mark})" if mark else f"[{letters}]"


def is_dns_label(text: str) -> bool:
    """Tell whether ``text`` can be one label of a host name, and so an app's name (RFC 1123)."""
    return _LABEL.fullmatch(text) is not None


@record(frozen=True, slots=True)
class Origin:
    """``scheme://host:port``; ``host`` in lower case, an IPv6 address in its brackets."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    @property
    def authority(self) -> str:
        """``host``, with ``:port`` where it isn't the scheme's own: what ``@authority`` holds."""
        if self.port == DEFAULT_PORTS[self.scheme]:
            return self.host
        return f"{self.host}:{self.port}"

    def of_app(self, app: str) -> "Origin":
        """Return the origin of ``app`` on the Portal whose own origin this is."""
        return Origin(self.scheme, f"{app}.{self.host}", self.port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_origin(text: str) -> Origin:
    """Read ``http(s)://host[:port]``, in any case; raises ``ValueError`` saying what is expected.

    No user, no path beyond "/", no query, no fragment: each would be a way to make two readers of
    the same text connect to two places.
    """
    match = _ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    if match is None:
        raise ValueError(f"{text!r} isn't of the form http://host:port or https://host:port")
    scheme = cast(Literal["http", "https"], match["scheme"])
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    if port > LAST_PORT:
        raise ValueError(f"{text!r} has a port above {LAST_PORT}")
    return Origin(scheme, match["host"], port)


def parse_connect(text: str) -> str:
    """Return ``host:port`` in lower case; raises ``ValueError``. The port is never left out."""
    try:
        origin = parse_origin(f"http://{text}")
    except ValueError:
        origin = None
    if origin is None or text.lower() != f"{origin.host}:{origin.port}":
        raise ValueError(f"{shown(text)} isn't of the form host:port")
    return text.lower()
