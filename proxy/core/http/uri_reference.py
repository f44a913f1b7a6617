"""References to URIs, as ``Location`` and its like have them: whose host, and which path.

Read no more generously than RFC 3986 has it where a reference is compared with an app's own host:
what differs in a byte is somebody else's. Where a reference must not lead out of a path, it is read
as the freest of its readers would: clients differ on blanks, backslashes, tabs, escaped dots,
parameters and slashes.
Source: RFC 3986, sections 4.1, 4.2, 5.2.3 and 5.2.4; WHATWG URL, section 4.4.
"""

import re
from typing import cast

from proxy.core.http.forwarded import Scheme
from proxy.core.http.origin import DEFAULT_PORTS, Origin
from proxy.core.record import record

_AUTHORITY = rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?"
_WHOLE = re.compile(rb"(?:(https?):)?//" + _AUTHORITY + rb"([/?#].*)?", re.IGNORECASE | re.DOTALL)
_PATH_ENDS = re.compile(rb"[?#]")
_SLASHES = bytes.maketrans(b"\\", b"/")
BLANKS = b" \t\x85\xa0"
"""What clients take for blanks around a reference, those among them that read bytes as Latin-1."""


@record(frozen=True, slots=True)
class UriAtHost:
    """A reference that names a host, and no user."""

    scheme: Scheme | None
    """None in a network-path reference (``//host/path``), which keeps the scheme that it is at."""
    host: str
    """In lower case."""
    port: int | None
    """None where there is none, not even a colon without one."""
    rest: bytes
    """Path, query and fragment as they stand; b"" where there is nothing behind the host."""
    has_port: bool
    """Whether a colon stands behind the host."""

    def is_at(self, origin: Origin) -> bool:
        """Tell whether its host is ``origin``'s, with its port, or that of the scheme, or none."""
        if self.host != origin.host:
            return False
        usual = DEFAULT_PORTS[self.scheme or "http"]
        return self.port is None or self.port in (usual, origin.port)


def read_uri_at_host(reference: bytes) -> UriAtHost | None:
    """Read ``http(s)://host[:port]...`` or ``//host[:port]...``; None is anything else."""
    match = _WHOLE.fullmatch(reference)
    if match is None:
        return None
    scheme, host, port, rest = match.groups()
    return UriAtHost(
        cast("Scheme", scheme.lower().decode("ascii")) if scheme else None,
        host.decode("ascii").lower(),
        int(port) if port else None,
        rest or b"",
        port is not None,
    )


def split_path(reference: bytes) -> tuple[bytes, bytes]:
    """Return what stands before the query or the fragment, and these, with their mark."""
    found = _PATH_ENDS.search(reference)
    end = found.start() if found else len(reference)
    return reference[:end], reference[end:]


def as_browsers_read(path: bytes) -> bytes:
    """Return ``path`` with backslashes as slashes and without tabs (WHATWG URL, section 4.4)."""
    return path.translate(_SLASHES, b"\t")


def has_dot_segments(path: bytes) -> bool:
    """Tell whether a client could take a segment of ``path`` for ``.`` or ``..``."""
    return any(_as_dots(segment) in (b".", b"..") for segment in path.split(b"/"))


def without_dot_segments(path: bytes) -> bytes:
    """Return ``path``, which begins with a slash, as it is once its dot segments are gone.

    An escaped dot is one: browsers read it so, and who doesn't would have it refused.
    """
    left: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        dots = _as_dots(segment)
        if dots == b"..":
            del left[-1:]
        elif dots != b".":
            left.append(segment)
    if _as_dots(segments[-1]) in (b".", b".."):
        left.append(b"")
    return b"/" + b"/".join(left)


def _as_dots(segment: bytes) -> bytes:
    """Return what is dots to whoever reads it so, less parameters (RFC 1808) and blanks at its end.

    Python's ``urljoin`` knows the ones, older programs on Node the others.
    """
    path = segment.partition(b";")[0].rstrip(BLANKS)
    return path.replace(b"%2e", b".").replace(b"%2E", b".")
