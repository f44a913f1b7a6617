"""Which addresses are one client's, as far as anybody can tell who counts clients.

An IPv4 address is one. Of IPv6 it is a /64: whoever has one address of it has them all (RFC 6177).
"""

from ipaddress import IPv6Address

from proxy.core.http.forwarded import Address, Trusted, read_address

_HOST_BITS = 64


def neighbourhood(text: str, trusted: Trusted) -> Address | None:
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
