"""Which interfaces have an address, as the kernel tells."""

import socket
from ipaddress import ip_address

from proxy.server.interfaces import interfaces_of


def test_loopback_has_loopbacks_address_and_nobody_has_another_machines() -> None:
    assert interfaces_of(ip_address("127.0.0.1")) == {socket.if_nametoindex("lo")}
    assert interfaces_of(ip_address("203.0.113.9")) == frozenset()
    assert interfaces_of(ip_address("2001:db8::9")) == frozenset()
