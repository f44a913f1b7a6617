"""Names below ``localhost`` are this machine (RFC 6761, section 6.3), as browsers have it."""

import socket
from typing import Any

_right = socket.getaddrinfo


def _found(host: Any, *rest: Any, **more: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    local = isinstance(name, str) and name.endswith(".localhost")
    return _right("127.0.0.1" if local else host, *rest, **more)


socket.getaddrinfo = _found
