"""Which network interfaces of this machine have an address, as the kernel tells.

Source: rtnetlink(7), "RTM_GETADDR".
"""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NEW, _GET = 20, 22
_DONE, _ERROR = 3, 2
_HEAD = struct.Struct("=IHHII")
_ABOUT = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_ADDRESS, _LOCAL = 1, 2
_READ = 1 << 17
_PATIENCE = 5.0

IpAddress = IPv4Address | IPv6Address


def interfaces_of(address: IpAddress) -> frozenset[int]:
    """Return the numbers of the interfaces that have ``address``; raises ``OSError``."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - of IP
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        asked.settimeout(_PATIENCE)
        body = _ABOUT.pack(family, 0, 0, 0, 0)
        asked.sendto(_HEAD.pack(_HEAD.size + len(body), _GET, _DUMP, 1, 0) + body, (0, 0))
        is_over = False
        while not is_over:
            data = asked.recv(_READ)
            while data:
                size, kind, _, _, _ = _HEAD.unpack_from(data)
                message, data = data[_HEAD.size : size], data[-(-size // 4) * 4 :]
                if kind == _ERROR:
                    raise OSError("the kernel doesn't tell the addresses of this machine")
                is_over = is_over or kind == _DONE
                if kind == _NEW and _address(message) == address:
                    found.add(_ABOUT.unpack_from(message)[4])
    return frozenset(found)


def _address(message: bytes) -> IpAddress | None:
    """Return the address that a message is about: its own, where another end has one, too."""
    told: dict[int, bytes] = {}
    at = _ABOUT.size
    while at + _ATTRIBUTE.size <= len(message):
        size, kind = _ATTRIBUTE.unpack_from(message, at)
        if size < _ATTRIBUTE.size:
            break
        told[kind] = message[at + _ATTRIBUTE.size : at + size]
        at += -(-size // 4) * 4
    raw = told.get(_LOCAL) or told.get(_ADDRESS)
    return ip_address(raw) if raw else None
