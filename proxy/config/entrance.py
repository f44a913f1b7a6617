"""``entrance`` of proxy.yaml: a listener for one app alone, where it needn't show its token.

It may be where nobody but the app's own containers are. So no address of it is one that others
could reach: what is written is checked when the file is read, what a name leads to when the
listener is opened (``proxy.server.entrance_sockets``).
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from proxy.config.listen import (
    OURS_ALONE,
    Address,
    parse_address,
    socket_path,
    socket_path_problem,
)
from proxy.core.errors import Problem

_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
"""Networks that aren't the internet's (RFC 1918, 4193, 6598)."""
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OWN_NETWORK = "an address, or a name, of the app's own container network, or unix:PATH"
_OPEN_TO_ALL = (
    "is this machine's loopback, where every user and every web page could call in the app's name: "
    "write unix:PATH, or `entrance_token: required` to have the app show its token there"
)


@dataclass(frozen=True)
class Entrance:
    """Where one app alone comes in."""

    address: Address
    asks_token: bool = False
    """Whether the app shows its token there, too."""

    def __str__(self) -> str:
        return str(self.address)

    @property
    def way(self) -> str:
        """By which the app comes in: what began without a token was on another one."""
        return f"{self.address}, with a token" if self.asks_token else str(self.address)


def parse_entrance(text: str) -> Address:
    """Read ``host:port`` or ``unix:path``; raises ``ValueError`` saying what is expected."""
    if text.partition(":")[0] in ("", "*"):
        raise ValueError(f"is every network; expected {_OWN_NETWORK}")
    address = parse_address(text)
    if not address.unix and not address.port:
        raise ValueError("expected a port from 1 to 65535: the app has to know it")
    if not address.unix and _NUMBER.fullmatch(address.host.rstrip(".").rpartition(".")[2]):
        try:
            IPv4Address(address.host)
        except ValueError:
            raise ValueError(
                "expected an IPv4 address as four numbers, such as 172.20.0.2"
            ) from None
    if address.host.startswith("["):
        try:
            IPv6Address(address.host[1:-1])
        except ValueError:
            raise ValueError(
                "expected an IPv6 address in the brackets, such as [fd00::2]"
            ) from None
    return address


def place_entrance(
    file: str,
    folder: Path,
    address: Address | None,
    mode: int | None,
    problems: list[Problem],
    *,
    asks_token: bool,
) -> Entrance | None:
    """Return the entrance of the app in ``folder``; what is wrong is added to ``problems``."""
    if address is None:
        for key, is_there in (("entrance_mode", mode is not None), ("entrance_token", asks_token)):
            if is_there:
                what = "is for an entrance, and there is none; expected entrance, too"
                problems.append(Problem(file, key, what))
        return None
    if address.unix:
        address = Address(unix=socket_path(folder, address.unix), mode=mode or OURS_ALONE)
        what = socket_path_problem(address.unix)
    else:
        if mode is not None:
            what = f"is for a socket's file, and entrance is at {address}"
            problems.append(Problem(file, "entrance_mode", what))
        what = _host_problem(address.host, asks_token=asks_token)
    if what:
        problems.append(Problem(file, "entrance", what))
    return Entrance(address, asks_token)


def _host_problem(host: str, *, asks_token: bool) -> str:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "" if asks_token else _OPEN_TO_ALL
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return ""  # a name, of which nobody knows yet where it leads
    return address_problem(address, asks_token=asks_token)


def address_problem(address: IPv4Address | IPv6Address, *, asks_token: bool) -> str:
    """Say why no entrance may be at ``address``; "" where it may."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return f"is {address.ipv4_mapped}, written as an IPv6 address; expected {_OWN_NETWORK}"
    if address.is_unspecified:
        return f"is every network that this machine is on; expected {_OWN_NETWORK}"
    if address.is_loopback:
        return "" if asks_token else _OPEN_TO_ALL
    if any(address in network for network in _PRIVATE if network.version == address.version):
        return ""
    kind = "a link's own" if address.is_link_local else "a group's" if address.is_multicast else ""
    return f"is {kind or 'a public'} address; expected {_OWN_NETWORK}"
