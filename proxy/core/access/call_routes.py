"""Where a request at the apps listener leads, read from its raw target.

An app may speak to the listener as to a server (``/internal/call_peer/...``) or as to a forward
proxy (``http://guestbook.8271dd.p.getportal.org/...``, as ``HTTP_PROXY`` makes clients do).
Source: RFC 9112, section 3.2.
"""

import re
from dataclasses import dataclass

from proxy.core.errors import Code, Refusal

ECOSYSTEM_HOSTS = frozenset({"portal_core", "portal-core", "shard_core"})
"""Names under which apps know this service: those of the existing ecosystem, and one for clients
to which a name with an underscore is none."""

_ABSOLUTE = re.compile(
    rb"http://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?(/.*|\?.*)?",
    re.IGNORECASE | re.DOTALL,
)
_CALL = re.compile(rb"/internal/call_peer/([^/?]*)(?:/)?([^?]*)(\?.*)?", re.DOTALL)


@dataclass(frozen=True)
class PeerCall:
    """A call by path: ``id`` as the app wrote it, and the target for the peer's app."""

    id: str
    target: bytes


@dataclass(frozen=True)
class HostCall:
    """A call through a forward proxy: the host asked for (lower case), and the target there."""

    host: str
    target: bytes


@dataclass(frozen=True)
class ServicePath:
    """A path of the peer management service itself."""

    target: bytes


Route = PeerCall | HostCall | ServicePath


def is_absolute(target: bytes) -> bool:
    """Tell whether a client treats us as its proxy."""
    return not target.startswith(b"/")


def route(method: bytes, target: bytes, own_names: frozenset[str]) -> Route:
    """Return where a request leads; ``own_names`` are the hosts that mean the listener itself.

    Raises ``Refusal``: ``NOT_A_PEER_HOST`` for CONNECT and for any scheme but http, ``BAD_TARGET``
    for bytes outside ASCII in a path of our own.
    """
    if target.startswith(b"/") and method != b"CONNECT":
        return own_path(target)
    match = _ABSOLUTE.fullmatch(target)
    if match is None or method == b"CONNECT":
        raise Refusal(Code.NOT_A_PEER_HOST, "a tunnel, or not of the form http://host/path")
    host = match[1].decode("ascii").lower()
    rest: bytes = match[2] or b"/"
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    if host in own_names or host in ECOSYSTEM_HOSTS:
        return own_path(rest)
    return HostCall(host, rest)


def own_path(target: bytes) -> PeerCall | ServicePath:
    """Return where a path of this listener's own leads; raises ``Refusal`` (``BAD_TARGET``)."""
    match = _CALL.fullmatch(target)
    if match is None:
        if not target.isascii():
            raise Refusal(Code.BAD_TARGET, "bytes outside ASCII, which no path here has")
        return ServicePath(target)
    query: bytes = match[3] or b""
    return PeerCall(match[1].decode("ascii", "replace"), b"/" + match[2] + query)
