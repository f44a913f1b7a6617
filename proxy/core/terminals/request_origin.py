"""Which page made a browser send a request: only our own pages' requests come from the terminal.

Portals share a domain, so to a browser another Portal's page is of the same *site*, and what that
page asks for comes with our ``SameSite`` cookie. So the page's *origin* must be the one that is
asked, or the Portal's own; one app's pages don't act as the terminal at another app. Everybody may
send a terminal somewhere, in a window of its own, which shows where it is.
Sources: Fetch (``Origin``), Fetch Metadata (``Sec-Fetch-*``), RFC 6455, RFC 9110 (``Referer``).
"""

from proxy.core.http.headers import Fields, values_of
from proxy.core.http.origin import Origin

_SAFE = frozenset({b"GET", b"HEAD"})
_NEAR = frozenset({b"same-origin", b"none"})
"""The asked origin's own page, and nobody's: typed, or a bookmark."""


def is_same_portal_request(
    method: bytes,
    is_websocket: bool,  # noqa: FBT001 - the gate has it at hand
    fields: Fields,
    own: Origin,
    portal: Origin,
) -> bool:
    """Tell whether a request's cookies count; where they don't, it is a stranger's.

    ``own`` is the public origin of the host that is asked, ``portal`` that of the Portal itself.
    """
    ours = (str(own).encode("ascii"), str(portal).encode("ascii"))
    origins, sites = values_of(fields, b"origin"), values_of(fields, b"sec-fetch-site")
    is_near = len(sites) == 1 and sites[0] in _NEAR
    if not is_websocket and _goes_there(method, fields):
        return True
    if origins:
        # A page that asks for no Referer sends "null" to its own origin, too.
        is_own_null = not is_websocket and origins == [b"null"] and sites == [b"same-origin"]
        return is_own_null or (len(origins) == 1 and origins[0] in ours)
    if is_near or (is_websocket and not sites):
        return True
    referers = values_of(fields, b"referer")
    origin = _origin_of(referers[0]) if len(referers) == 1 else b""
    if sites:
        # Not of the asked host's page: that is near, unless another page sent it on to here.
        return origin == ours[1] and not is_websocket
    # No browser of today, or one that is asked over plain http.
    return method in _SAFE or not referers or origin in ours


def _goes_there(method: bytes, fields: Fields) -> bool:
    """Tell whether a window goes to what is asked for, as by a link; a frame in a page doesn't."""
    return (
        method in _SAFE
        and values_of(fields, b"sec-fetch-mode") == [b"navigate"]
        and values_of(fields, b"sec-fetch-dest") == [b"document"]
    )


def _origin_of(referer: bytes) -> bytes:
    """Return the origin of an absolute URL, as browsers write it: all up to its path."""
    return b"/".join(referer.split(b"/", 3)[:3])
