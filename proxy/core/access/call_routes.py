"""Where a request at the apps listener leads, read from its raw target.

An app may speak to the listener as to a server (``/internal/call_peer/...``) or as to a forward
proxy (``http://guestbook.8271dd.p.getportal.org/...``, as ``HTTP_PROXY`` makes clients do). Some
clients open a tunnel even for ``http``: it ends here, and what is said in it is HTTP to its host.
Source: RFC 9112, section 3.2, and RFC 9110, section 9.3.6.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.core.errors import Code, Refusal

ECOSYSTEM_HOSTS = frozenset({"portal_core", "shard_core"})
"""Names under which apps of the existing ecosystem know this service."""

_ABSOLUTE = re.compile(
    rb"http://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?(/.*|\?.*)?",
    re.IGNORECASE | re.DOTALL,
)
_AUTHORITY = re.compile(
    rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([1-9][0-9]{0,4})", re.IGNORECASE
)
HTTP_PORT, HTTPS_PORT = 80, 443
_LAST_PORT = 65535
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


@dataclass(frozen=True)
class TunnelCall:
    """A tunnel that is asked for: the host (lower case) and the port that it would lead to."""

    host: str
    port: int


Route = PeerCall | HostCall | ServicePath


def is_absolute(target: bytes) -> bool:
    """Tell whether a client treats us as its proxy."""
    return not target.startswith(b"/")


def route(method: bytes, target: bytes, own_names: frozenset[str]) -> Route | TunnelCall:
    """Return where a request leads; ``own_names`` are the hosts that mean the listener itself.

    Raises ``Refusal``: ``NOT_A_PEER_HOST`` for any scheme but http, ``BAD_TUNNEL`` for a CONNECT
    that names no host and port, ``BAD_TARGET`` for bytes outside ASCII in a path of our own.
    """
    if method == b"CONNECT":
        return _tunnel(target)
    if target.startswith(b"/"):
        return _own(target)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise Refusal(Code.NOT_A_PEER_HOST, "not of the form http://host/path")
    host = match[1].decode("ascii").lower()
    rest: bytes = match[2] or b"/"
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    if host in own_names or host in ECOSYSTEM_HOSTS:
        return _own(rest)
    return HostCall(host, rest)


def route_in_tunnel(host: str, method: bytes, target: bytes, hosts: Sequence[bytes]) -> Route:
    """Return where a request in the tunnel to port 80 of ``host`` leads; ``hosts`` is its Host.

    It is HTTP to that host alone: whoever could name another one here would be judged as if
    they had asked for it at the listener, where no tunnel is. Raises ``Refusal``: ``BAD_TARGET``
    for anything but a path, ``MISDIRECTED`` for another Host or none.
    """
    if method == b"CONNECT" or not target.startswith(b"/"):
        raise Refusal(Code.BAD_TARGET, f"in a tunnel to {host}: not a path, or a tunnel in it")
    plain = host.encode("ascii")
    if len(hosts) != 1 or hosts[0].lower() not in (plain, b"%b:%d" % (plain, HTTP_PORT)):
        raise Refusal(Code.MISDIRECTED, f"Host {list(hosts)[:1]!r} in a tunnel to {host}"[:400])
    return _own(target) if host in ECOSYSTEM_HOSTS else HostCall(host, target)


def _tunnel(target: bytes) -> TunnelCall:
    match = _AUTHORITY.fullmatch(target)
    if match is None or int(match[2]) > _LAST_PORT:
        raise Refusal(Code.BAD_TUNNEL, "CONNECT without a host and a port")
    return TunnelCall(match[1].decode("ascii").lower(), int(match[2]))


def _own(target: bytes) -> PeerCall | ServicePath:
    match = _CALL.fullmatch(target)
    if match is None:
        if not target.isascii():
            raise Refusal(Code.BAD_TARGET, "bytes outside ASCII, which no path here has")
        return ServicePath(target)
    query: bytes = match[3] or b""
    return PeerCall(match[1].decode("ascii", "replace"), b"/" + match[2] + query)
