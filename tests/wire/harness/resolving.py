"""``portal-proxy`` for a machine with a resolver of its own: ``resolving.py FILE ARGUMENT...``.

The file holds lines ``NAME ADDRESS``, and is read for each look-up. A name that isn't in it is
unknown; one whose address is ``silence`` gets no response for half a minute, as of a resolver that
is down. Addresses stand for themselves.
"""

import ipaddress
import socket
import sys
import time
from pathlib import Path
from typing import Any

SILENCE = 30

_file = Path(sys.argv.pop(1))
_right = socket.getaddrinfo


def _look_up(host: Any, *rest: Any, **more: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    try:
        ipaddress.ip_address(name)
    except ValueError:
        known = dict(line.split() for line in _file.read_text("ascii").splitlines())
        address = known.get(name, "unknown")
        if address == "silence":
            time.sleep(SILENCE)
        if address in ("silence", "unknown"):
            raise socket.gaierror(
                socket.EAI_AGAIN, "Temporary failure in name resolution"
            ) from None
        return _right(address, *rest, **more)
    return _right(host, *rest, **more)


socket.getaddrinfo = _look_up

from proxy.cli.root import main  # noqa: E402 - the resolver is there before anything asks it

if __name__ == "__main__":
    main()
