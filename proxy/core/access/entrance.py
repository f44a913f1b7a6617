"""Who may ask at an entrance, and for what: the listener of one app, whose clients show no token.

Nobody but the app is to be on its network. What comes from a browser all the same, which somebody
else's page can have ask anything, shows by its fields, or by the host that it asks for: a page can
have its own name lead here (DNS rebinding), and none leads to the hosts that are taken.
Source: Fetch, sections 3.2 (``Origin``) and 4.6; Fetch Metadata Request Headers.
"""

import re

from proxy.core.access.call_routes import (
    ECOSYSTEM_HOSTS,
    HostCall,
    Route,
    TunnelCall,
    is_absolute,
    own_path,
    route,
)
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields, index_of, values_of

_FETCH = b"sec-fetch-"
_MODE = b"sec-fetch-mode"
_HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?")
_USUAL = frozenset({None, b"", b"80"})
_NO_NAMES: frozenset[str] = frozenset()


def refuse_browsers(fields: Fields) -> None:
    """Refuse what a browser sends; raises ``Refusal`` (``FROM_A_BROWSER``).

    ``Sec-Fetch-Mode: cors`` alone is Node's ``fetch``: a browser that sends it tells
    ``Sec-Fetch-Site`` and ``Sec-Fetch-Dest`` with it.
    """
    if values_of(fields, b"origin"):
        raise Refusal(Code.FROM_A_BROWSER, "it has Origin")
    told = [name for name in index_of(fields) if name.startswith(_FETCH)]
    if told and (told != [_MODE] or values_of(fields, _MODE) != [b"cors"]):
        raise Refusal(Code.FROM_A_BROWSER, "it has Sec-Fetch-*")


def entrance_route(method: bytes, target: bytes, fields: Fields) -> Route | TunnelCall:
    """Return where a request leads: by its target where that names a host, else by ``Host``.

    Both must name the same where there are both; a CONNECT is for what its target names, and
    whatever it has as Host counts for nothing. Raises ``Refusal``: ``NOT_A_PEER_HOST``,
    ``BAD_TUNNEL`` and ``BAD_TARGET``. Whether another host is that of a peer's app, the caller
    finds out.
    """
    if method == b"CONNECT":
        return route(method, target, _NO_NAMES)
    host, written = _asked_host(fields)
    if not is_absolute(target):
        return own_path(target) if host in ECOSYSTEM_HOSTS else HostCall(host, target, written)
    leads_to = route(method, target, _NO_NAMES)
    is_same = leads_to.host == host if isinstance(leads_to, HostCall) else host in ECOSYSTEM_HOSTS
    if not is_same:
        raise Refusal(Code.NOT_A_PEER_HOST, f"Host is {host!r}, the target names another")
    return leads_to


def _asked_host(fields: Fields) -> tuple[str, bytes]:
    """Return the host in lower case; and as it was written, with its port if that isn't http's.

    Who isn't our proxy's client goes to the port that is named, and to no other.
    """
    values = values_of(fields, b"host")
    match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        raise Refusal(Code.NOT_A_PEER_HOST, f"Host is {b', '.join(values)[:260]!r}")
    written: bytes = match[1] if match[2] in _USUAL else match[0]
    return match[1].decode("ascii").lower(), written
