"""Through whom a request came, and how an app is told: ``X-Forwarded-*`` and ``Forwarded``.

- What web servers before us say is believed from trusted ones alone, and there is none by default.
- A chain is read from its end, which the remote peer wrote. It ends at the first hop that isn't
  trusted: what stands before that one was written by anybody.
- A hop that can't be read is "unknown" and ends the chain as well. It isn't left out of the chain,
  or an app would take the web server behind it for the client. An app is told addresses or nothing:
  ``X-Forwarded-For`` isn't written where any of them isn't known, since apps refuse what is no
  address there. ``Forwarded`` has no ``for`` where nothing at all is known, else ``for=unknown``.
- Where any of the three ``X-Forwarded-*`` is there, ``Forwarded`` isn't read: a web server that
  writes the ones passes the other on as its client sent it.

Source: RFC 7239; ``X-Forwarded-*`` has no specification.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from proxy.core.http.headers import (
    INTERMEDIARY,
    QUOTED_STRING,
    REQUEST_ID,
    TOKEN,
    Field,
    Fields,
    values_of,
)
from proxy.core.record import record
from proxy.core.text_files.shape import JsonSchema

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Scheme = Literal["http", "https"]

UNKNOWN = "unknown"
MOST_HOPS = 32
"""Hops of a chain that are read, and elements of ``Forwarded`` that are looked at."""

_FOR, _PROTO, _HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
_FORWARDED = b"forwarded"
_NOTHING = (UNKNOWN,)
_LONGEST_FORWARDED = 4096
_SCHEMES: dict[bytes, Scheme] = {
    b"http": "http",
    b"https": "https",
    b"ws": "http",
    b"wss": "https",  # Traefik's, for a WebSocket
}
_PLAIN = ((b"x-forwarded-scheme", b"http"), (b"x-forwarded-ssl", b"off"))
"""What some web servers write in place of ``X-Forwarded-Proto``, where their client spoke http."""
_NODE = re.compile(
    rb"(?:\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|(?P<ipv4>[0-9.]{7,15})|(?P<obscured>_[\w.-]{1,63}))"
    rb"(?::(?:[0-9]{1,5}|_[\w.-]{1,63}))?"
    rb"|(?P<bare>[0-9A-Fa-f:.]{2,45})"
)
_PAIR = rb"(" + TOKEN + rb")=(?:(" + TOKEN + rb")|(" + QUOTED_STRING + rb"))"
_PAIRS = re.compile(rb"[ \t]*" + _PAIR + rb"[ \t]*(?:;|\Z)")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_ID = re.compile(rb"[0-9A-Za-z!#$%&()*+./:=?@\[\]^_{|}~-]{1,128}")


@dataclass(frozen=True)
class Trusted:
    """The web servers before us that are believed, by the addresses from which they connect."""

    networks: tuple[Network, ...] = ()
    unix: bool = False
    """Whether everybody is who connects over our unix socket."""

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def has(self, address: Address | None) -> bool:
        """Tell whether this address is one of theirs; None is no address."""
        if address is None or not self.networks:
            return False
        return any(address in network for network in self.networks)


NOBODY = Trusted()
_HERE = Trusted((ip_network("127.0.0.0/8"), ip_network("::1")), unix=True)
"""Whoever is on this machine."""


@dataclass(frozen=True, slots=True)
class RemotePeer:
    """Who is at the other end of a connection."""

    address: str
    """As the socket tells it; "" where it tells none."""
    is_unix: bool = False
    is_tls: bool = False


@record(frozen=True, slots=True)
class ForwardedChain:
    """The hops of one request, as far as they are believed."""

    nodes: tuple[str, ...]
    """Never empty: the client, then those through which it came. Addresses, "unknown", or a name
    that begins with ``_`` (RFC 7239, section 6.3)."""
    scheme: Scheme
    """What the client spoke."""
    request_id: str
    host: bytes = b""
    """The ``Host`` that a trusted web server says was asked for; anything, b"" where none says."""

    @property
    def client(self) -> str:
        """Who sent the request, as far as anybody can tell."""
        return self.nodes[0]


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
NETWORK_SHAPE: JsonSchema = {
    "type": "string",
    "pattern": (
        rf"^(?:unix|{_IPV4}(?:/(?:[0-9]{{1,2}}|{_IPV4}))?"
        rf"|(?=[0-9A-Fa-f]*:)(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:[0-9A-Fa-f]{{0,4}}|{_IPV4})"
        r"(?:%[^%/]+)?(?:/[0-9]{1,3})?)$"
    ),
    "patternErrorMessage": "expected an address or a network, such as 10.0.0.0/8, or unix",
}
"""What ``read_network`` takes, and ``unix``, for JSON Schemas: as far as a pattern can tell."""


def read_network(text: str) -> Network:
    """Read an address or a network as an owner writes it; raises ``ValueError``.

    One of IPv4 addresses in IPv6 is the IPv4 one, as addresses are.
    """
    try:
        network = ip_network(text)
    except ValueError:
        try:
            meant = f"; did you mean {ip_network(text, strict=False)}?"
        except ValueError:
            meant = ", such as 10.0.0.0/8, or unix"
        raise ValueError(f"expected an address or a network{meant}") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:  # noqa: PLR2004 - bits before the IPv4 ones
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def read_forwarded_chain(
    remote: RemotePeer, fields: Fields, trusted: Trusted, *, public: Scheme, made_id: str
) -> ForwardedChain:
    """Return through whom the request with ``fields`` came; ``remote`` sent it to us.

    ``public`` is the scheme by which others reach this Portal: what a connection without TLS of our
    own is taken to have been, where nobody says. ``made_id`` is the request's ID likewise.
    """
    node, address = _address(remote.address)
    scheme: Scheme = "https" if remote.is_tls else public
    is_trusted = trusted.unix if remote.is_unix else trusted.has(address)
    if not is_trusted:
        return ForwardedChain((node,), scheme, made_id)
    forwarded = not any(name in (_FOR, _PROTO, _HOST) for name, _ in fields)
    told, proto, host = _read_forwarded(fields, trusted) if forwarded else _read_x(fields, trusted)
    if not remote.is_unix or not told:
        told.insert(0, node)
    ids = values_of(fields, REQUEST_ID)
    request_id = ids[0].decode("ascii") if len(ids) == 1 and _ID.fullmatch(ids[0]) else made_id
    return ForwardedChain(
        tuple(reversed(told)), _SCHEMES.get(proto.lower(), scheme), request_id, host
    )


def is_confidential(
    remote: RemotePeer, fields: Fields, trusted: Trusted, *, public: Scheme
) -> bool:
    """Tell whether nobody on the way can have read this request: https, or this machine alone.

    A trusted web server says what its client spoke. Where one stands before us on this machine that
    nobody named, its word can count against the request, and for it only where others reach this
    Portal by https. ``public`` is as above.
    """
    address = read_address(remote.address)
    is_trusted = trusted.unix if remote.is_unix else trusted.has(address)
    is_local = remote.is_unix or (address is not None and address.is_loopback)
    if is_local and not any(name in INTERMEDIARY for name, _ in fields):
        return True
    if not (is_trusted or is_local):
        return remote.is_tls
    if _says_plain(fields):
        return False
    believed = trusted if is_trusted else _HERE
    chain = read_forwarded_chain(remote, fields, believed, public=public, made_id="")
    return chain.scheme == "https" and (is_trusted or public == "https")


def _says_plain(fields: Fields) -> bool:
    """Tell whether a web server that doesn't write the usual field says http in another one."""
    if values_of(fields, _PROTO):
        return False
    return any(
        value.rpartition(b",")[2].strip(b" \t").lower() == plain
        for name, plain in _PLAIN
        for value in values_of(fields, name)
    )


def fields_of_forwarded_chain(
    chain: ForwardedChain, host: bytes, scheme: Scheme | None = None
) -> list[Field]:
    """Return what tells an app of ``chain``; ``host`` is the Host that was asked for.

    And ``scheme`` the one; None is the one that the client spoke.
    """
    way = _fields_of_way(chain.nodes, scheme or chain.scheme, host)
    return [*way, (REQUEST_ID, chain.request_id.encode("ascii"))]


@lru_cache(maxsize=1024)
def _fields_of_way(nodes: tuple[str, ...], scheme: Scheme, host: bytes) -> tuple[Field, ...]:
    """Return those of them that are the same for a client's next request."""
    first, *further = (f'for="[{node}]"' if ":" in node else f"for={node}" for node in nodes)
    before = "" if nodes == _NOTHING else f"{first};"
    behind = "".join(f", {each}" for each in further)
    proto = scheme.encode("ascii")
    forwarded = b'%bhost="%b";proto=%b%b' % (
        before.encode("ascii"), host, proto, behind.encode("ascii")
    )  # fmt: skip
    names_all = not any(node == UNKNOWN or node.startswith("_") for node in nodes)
    addresses = ((_FOR, ", ".join(nodes).encode("ascii")),) if names_all else ()
    return (*addresses, (_PROTO, proto), (_HOST, host), (_FORWARDED, forwarded))


def _read_x(fields: Fields, trusted: Trusted) -> tuple[list[str], bytes, bytes]:
    """Return what ``X-Forwarded-*`` tells: hops, the last one first; scheme; Host.

    Of several schemes and Hosts the last ones, which the remote peer wrote.
    """
    chain = b",".join(values_of(fields, _FOR)).rsplit(b",", MOST_HOPS)
    told: list[str] = []
    for text in reversed(chain):
        if text := text.strip(b" \t"):
            node, address = _node(text)
            told.append(node)
            if not trusted.has(address):
                break
    proto, host = (
        b",".join(values_of(fields, name)).rpartition(b",")[2].strip(b" \t")
        for name in (_PROTO, _HOST)
    )
    return told, proto, host


def _read_forwarded(fields: Fields, trusted: Trusted) -> tuple[list[str], bytes, bytes]:
    """Return the same of ``Forwarded``: scheme and Host of the element that the chain begins with.

    That one was written by a trusted web server too: the one that its client reached.
    """
    told: list[str] = []
    element: dict[bytes, bytes] = {}
    for element in _elements(b",".join(values_of(fields, _FORWARDED))[-_LONGEST_FORWARDED:]):
        node, address = _node(element.get(b"for", b""))
        told.append(node)
        if not trusted.has(address):
            break
    return told, element.get(b"proto", b""), element.get(b"host", b"")


def _elements(text: bytes) -> Iterator[dict[bytes, bytes]]:
    """Yield the elements of ``Forwarded`` from the last to the first; {} ends them.

    Each begins at the last comma from which on it can be read, so a quote that a client left open
    in its own element takes nothing of the next ones. From inside a quoted string nothing can be
    read as an element: there are odd quotes up to its end.
    """
    end = begin = len(text)
    for _ in range(MOST_HOPS):
        if end < 0:
            return
        begin = text.rfind(b",", 0, begin)
        element = _element(text[begin + 1 : end])
        if element is not None:
            end = begin
            if element:
                yield element
        elif begin < 0:
            break
    yield {}


def _element(text: bytes) -> dict[bytes, bytes] | None:
    """Return the parameters of one element by name; {} is an empty one, None can't be read."""
    found: dict[bytes, bytes] = {}
    position, text = 0, text.strip(b" \t")
    while position < len(text):
        match = _PAIRS.match(text, position)
        if match is None or match[1].lower() in found:
            return None
        quoted = match[3]
        value = match[2] if quoted is None else _ESCAPED.sub(rb"\1", quoted[1:-1])
        found[match[1].lower()] = value
        position = match.end()
    return found


def _node(text: bytes) -> tuple[str, Address | None]:
    """Return a hop as it stands in a chain, less its port, and its address if it has one."""
    match = _NODE.fullmatch(text)
    if match is None:
        return UNKNOWN, None
    if match["obscured"] is not None:
        return match["obscured"].decode("ascii"), None
    return _address((match["ipv6"] or match["ipv4"] or match["bare"]).decode("ascii"))


def read_address(text: str) -> Address | None:
    """Return an address as a socket tells it, one of IPv4 in IPv6 as IPv4; None is none."""
    return _address(text)[1]


@lru_cache(maxsize=4096)
def _address(text: str) -> tuple[str, Address | None]:
    """Return an address in its one form, without the name of an interface; else "unknown"."""
    try:
        address = ip_address(text)
    except ValueError:
        return UNKNOWN, None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Address(int(address))
    return str(address), address


# Which addresses are one client's, as far as anybody can tell who counts clients.
_HOST_BITS = 64


def client_network(text: str, trusted: Trusted) -> Address | None:
    """Return the one address that stands for all of its client's.

    ``text`` is what the socket tells. None where nobody can be told apart: where it tells none, as
    of a unix socket, and for a trusted web server, behind which is everybody.
    """
    address = read_address(text)
    if address is None or trusted.has(address):
        return None
    if isinstance(address, IPv6Address):
        return IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS)
    return address
