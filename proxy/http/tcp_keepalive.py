"""TCP keepalive, for connections on which nobody may have anything to say for days.

A side that is gone without a word (a phone out of reach, a machine without power) is found by the
kernel, whether something is on its way to it or not; one that is there stays, however quiet.
"""

import asyncio
import socket

IDLE = 60
"""Seconds of silence before the first probe."""
INTERVAL = 15
PROBES = 4
PATIENCE = IDLE + INTERVAL * PROBES
"""Seconds until a side that doesn't answer, or doesn't take what it was sent, is given up."""

_OPTIONS = {
    "TCP_KEEPIDLE": IDLE,
    "TCP_KEEPINTVL": INTERVAL,
    "TCP_KEEPCNT": PROBES,
    "TCP_USER_TIMEOUT": PATIENCE * 1000,
}


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Have the kernel look whether the other side of a TCP connection is still there."""
    sock: socket.socket = transport.get_extra_info("socket")
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:  # not every system has each
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
