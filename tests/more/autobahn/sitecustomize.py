"""Lets the suite's Python 2.7 find the tests' hosts, which no resolver knows: they are loopback."""

import socket

_LOOPBACK, _OURS = "127.0.0.1", ".localhost"
_many, _one = socket.getaddrinfo, socket.gethostbyname

socket.getaddrinfo = lambda host, *more: _many(
    _LOOPBACK if host and host.endswith(_OURS) else host, *more
)
socket.gethostbyname = lambda host: _one(_LOOPBACK if host.endswith(_OURS) else host)
