"""Where a request at the apps listener leads, read from its raw target.

An app may speak to the listener as to a server (``/internal/call_peer/...``) or as to a forward
proxy (``http://guestbook.8271dd.p.getportal.org/...``, as ``HTTP_PROXY`` makes clients do). Some
clients open a tunnel even for ``http``: it ends here, and what is said in it is HTTP to its host.
Source: RFC 9112, section 3.2, and RFC 9110, section 9.3.6.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from proxy.core.errors import Code, Refusal
from proxy.core.identity import is_id_prefix

ECOSYSTEM_HOSTS = frozenset({"portal_core", "portal-core", "shard_core"})
"""Names under which apps know this service: those of the existing ecosystem, and one for clients
to which a name with an underscore is none."""

_ABSOLUTE = re.compile(
    rb"http://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?(/.*|\?.*)?",
    re.IGNORECASE | re.DOTALL,
)
_AUTHORITY = re.compile(
    rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([1-9][0-9]{0,4})", re.IGNORECASE
)
HTTP_PORT, HTTPS_PORT = 80, 443
_LAST_PORT = 65535
_BY_PATH = b"/internal/call_peer/"
_CALL = re.compile(_BY_PATH + rb"([^/?]*)(/?)([^?]*)(\?.*)?", re.DOTALL)


@dataclass(frozen=True)
class PeerCall:
    """A call by path: ``id`` as the app wrote it, and the target for the peer's app."""

    id: str
    target: bytes
    is_bare: bool = field(default=False, compare=False)
    """Whether nothing stands behind the ID, not even a slash."""


@dataclass(frozen=True)
class HostCall:
    """A call by the peer's own host (lower case), as through a forward proxy; the target there."""

    host: str
    target: bytes
    written: bytes = field(default=b"", compare=False)
    """The host in the letters in which it was asked for, with a port where references need it."""


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
        return own_path(target)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise Refusal(Code.NOT_A_PEER_HOST, "not of the form http://host/path")
    host = match[1].decode("ascii").lower()
    rest: bytes = match[2] or b"/"
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    if host in own_names or host in ECOSYSTEM_HOSTS:
        return own_path(rest)
    return HostCall(host, rest, match[1])


def route_in_tunnel(host: str, method: bytes, target: bytes, hosts: Sequence[bytes]) -> Route:
    """Return where a request in the tunnel to port 80 of ``host`` leads; ``hosts`` is its Host.

    It is HTTP to that host alone: whoever could name another one here would be judged as if
    they had asked for it at the listener, where no tunnel is. Raises ``Refusal``: ``BAD_TARGET``
    for anything but a path, ``MISDIRECTED`` for another Host or none.
    """
    hint = f"This tunnel is for {host} alone: ask for a path there, with that host as Host."
    if method == b"CONNECT" or not target.startswith(b"/"):
        detail = f"in a tunnel to {host}: not a path, or a tunnel in it"
        raise Refusal(Code.BAD_TARGET, detail, hint=hint)
    plain = host.encode("ascii")
    if len(hosts) != 1 or hosts[0].lower() not in (plain, b"%b:%d" % (plain, HTTP_PORT)):
        detail = f"Host {list(hosts)[:1]!r} in a tunnel to {host}"[:400]
        raise Refusal(Code.MISDIRECTED, detail, hint=hint)
    return own_path(target) if host in ECOSYSTEM_HOSTS else HostCall(host, target)


def _tunnel(target: bytes) -> TunnelCall:
    match = _AUTHORITY.fullmatch(target)
    if match is None or int(match[2]) > _LAST_PORT:
        raise Refusal(Code.BAD_TUNNEL, "CONNECT without a host and a port")
    return TunnelCall(match[1].decode("ascii").lower(), int(match[2]))


def own_path(target: bytes) -> PeerCall | ServicePath:
    """Return where a path of this listener's own leads; raises ``Refusal`` (``BAD_TARGET``)."""
    match = _CALL.fullmatch(target)
    if match is None:
        if not target.isascii():
            raise Refusal(Code.BAD_TARGET, "bytes outside ASCII, which no path here has")
        return ServicePath(target)
    query: bytes = match[4] or b""
    target = b"/" + match[3] + query
    return PeerCall(match[1].decode("ascii", "replace"), target, is_bare=not match[2])


def path_prefix(peer_id: str) -> bytes:
    """Return what stands before the target in a call by path."""
    return _BY_PATH + peer_id.encode("ascii")


def destination_at_peer(value: bytes, called: str, own_names: Collection[str]) -> bytes:
    """Return the ``Destination`` of a call by path as the app of the peer ``called`` expects it.

    A client that follows the path form has it there, too, with a host in ``own_names`` or without
    one. The app gets the path alone: by which host and scheme it is asked isn't known here. What
    is no call by path stays as it is, and is judged over there. Raises ``Refusal`` (``BAD_FIELD``)
    for another peer: nobody moves anything from one to the other.
    """
    path, absolute = value, _ABSOLUTE.fullmatch(value)
    if absolute is not None:
        if absolute[1].decode("ascii").lower() not in own_names:
            return value
        path = absolute[2] or b"/"
    match = _CALL.fullmatch(path)
    if match is None:
        return value
    peer_id = match[1].decode("ascii", "replace")
    if not (is_id_prefix(peer_id) and called.startswith(peer_id)):
        raise Refusal(Code.BAD_FIELD, f"Destination is at another peer: {peer_id[:110]!r}")
    target: bytes = b"/" + match[3] + (match[4] or b"")
    return target
