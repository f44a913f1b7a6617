"""Where a browser pairs, and where it may be sent once it has: never to anybody else's host.

A page that sends a browser wherever its address says lends the Portal's good name to whoever
writes the address. What isn't plainly one of our own hosts leads to the pairing page itself.
Source: RFC 3986; CWE-601 (open redirect).
"""

import re
from urllib.parse import parse_qs, quote

from proxy.core.access.target import Target
from proxy.core.http.headers import Fields
from proxy.core.http.origin import Origin, is_dns_label, parse_origin
from proxy.core.http.problem import wants_page

PAIR = b"/core/public/pair"
"""The pairing page's path, on the Portal's own host alone."""
LONGEST = 2048
"""Bytes of an address that is remembered; behind a longer one only its host is."""

_MOST_PARAMETERS = 20
_VISIBLE = bytes(range(0x21, 0x7F))
_ADDRESS = re.compile(r"(https?://[A-Za-z0-9.:_-]+)(/[!-~]*)?")
"""Visible ASCII. The host ends at the first slash for everybody: no ``@``, no backslash before."""


def safe_return_address(to: str, portal: Origin, *, to_apps: bool = True) -> str | None:
    """Return ``to`` if it is an address of this Portal or of one of its apps; else None.

    ``portal`` is the Portal's own origin: scheme and port must be its too. Without ``to_apps``
    nothing below its host is ours.
    """
    match = _ADDRESS.fullmatch(to)
    if match is None or len(to) > LONGEST:
        return None
    try:
        origin = parse_origin(match[1])
    except ValueError:
        return None
    app = origin.host.removesuffix("." + portal.host)
    is_app = to_apps and is_dns_label(app) and origin == portal.of_app(app)
    if origin != portal and not is_app:
        return None
    return str(origin) + (match[2] or "/")


def return_address_of(target: Target, portal: Origin, *, to_apps: bool = True) -> str | None:
    """Return where the address of the pairing page says that a browser wanted to go, if safe."""
    query = (target.query or b"").decode("ascii", "replace")
    try:
        wanted = parse_qs(query, max_num_fields=_MOST_PARAMETERS).get("to", [""])
    except ValueError:
        return None
    return safe_return_address(wanted[0], portal, to_apps=to_apps)


def pairing_address(portal: Origin, app: str, target: Target) -> str:
    """Return the address of the pairing page for a browser that asked ``app`` for ``target``.

    Bytes outside ASCII are escaped, since no address may have them.
    """
    wanted = f"{portal.of_app(app)}{quote(target.raw, safe=_VISIBLE)}"
    if len(wanted) > LONGEST:
        wanted = f"{portal.of_app(app)}/"
    return f"{portal}{PAIR.decode('ascii')}?to={quote(wanted, safe='')}"


def is_navigation(method: bytes, fields: Fields) -> bool:
    """Tell whether a browser opens a page in a window of its own: it can be sent elsewhere.

    What a page loads for itself isn't, nor is a frame: the pairing page lets nobody frame it.
    """
    told = {name: value for name, value in fields if name.startswith(b"sec-fetch-")}
    return (
        method == b"GET"
        and wants_page(method, fields)
        and told.get(b"sec-fetch-mode", b"navigate") == b"navigate"
        and told.get(b"sec-fetch-dest", b"document") == b"document"
    )
