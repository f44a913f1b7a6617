"""A redirect to what was asked for, but for the scheme or the port.

An app that insists on https, and is told http, answers so whatever it is asked. Whoever follows
would leave the way on which Portals prove themselves, or ask the same again and again.
Source: RFC 9110, sections 10.2.2 and 15.4.
"""

from collections.abc import Collection

from proxy.core.http.forwarded import Scheme
from proxy.core.http.headers import Fields, values_of
from proxy.core.http.origin import DEFAULT_PORTS
from proxy.core.http.uri_reference import read_uri_at_host

_NOT_MODIFIED, _SEE_OTHER = 304, 303


def find_redirect_to_itself(
    method: bytes,
    target: bytes,
    status: int,
    fields: Fields,
    *,
    scheme: Scheme,
    authorities: Collection[bytes],
) -> bytes | None:
    """Return the ``Location`` that leads to what was asked but for scheme or port; None is none.

    ``authorities`` are those that the app was told, each the one that was asked for as far as it
    knows. A ``Location`` without a host, or at just what was told, is a loop of the app's own
    making, or none: it may set a cookie and have the client come again. And 303 isn't followed with
    the method that changed something, but with GET.
    """
    if not 300 <= status <= 399 or status == _NOT_MODIFIED:  # noqa: PLR2004 - redirects
        return None
    if status == _SEE_OTHER and method not in (b"GET", b"HEAD"):
        return None
    for location in values_of(fields, b"location"):
        if any(_leads_back(location, target, scheme, authority) for authority in authorities):
            return location
    return None


def _leads_back(location: bytes, target: bytes, scheme: Scheme, authority: bytes) -> bool:
    uri, told = read_uri_at_host(location), read_uri_at_host(b"//" + authority)
    if uri is None or told is None or uri.host != told.host:
        return False
    rest = uri.rest.partition(b"#")[0]
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    to_scheme = uri.scheme or scheme
    to = to_scheme, uri.port or DEFAULT_PORTS[to_scheme]
    return rest == target and to != (scheme, told.port or DEFAULT_PORTS[scheme])
