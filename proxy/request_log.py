"""One line a request, in which nothing a client sends can forge a line or colour a terminal.

No body, field value, token, signature or query is in it.
"""

import re

from proxy.core.gate import Request
from proxy.core.headers import values_of

LEFT = "%s: left before the end by the client, or cut off by the end of the proxy"
_SHOWN = 200
_HIDDEN = re.compile(rb"[^!-\[\]-~]")


def line(request: Request) -> str:
    """Return the request as the log names it: method, host and path, escaped and cut short."""
    host = b",".join(values_of(request.fields, b"host"))
    path = request.target.partition(b"?")[0]
    if not path.startswith(b"/"):
        path = path.rpartition(b"@")[2]  # before it stands what could be a token
    return " ".join(shown(part) for part in (request.method, host, path))


def shown(data: bytes) -> str:
    r"""Return ``data`` as visible ASCII: every other byte as ``\xNN``."""
    return _HIDDEN.sub(_escaped, data[:_SHOWN]).decode("ascii")


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % match[0][0]
