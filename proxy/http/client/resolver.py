"""Names to addresses: a look-up without a response holds nobody up, and the end waits for none.

The system's resolver can't be interrupted: it may be silent for half a minute. asyncio runs it in a
few threads that everybody shares, and ends only when they do. So each look-up has a thread of its
own that nothing waits for, and all who ask for one name meanwhile share it.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

MOST = 256
"""Names that are looked up at once: those of apps and peers, which the owner has listed."""


@dataclass(frozen=True)
class Address:
    """Where a socket can be connected to, as the system describes it."""

    family: int
    protocol: int
    where: tuple[str | int, ...] | tuple[int, bytes] | str


Addresses = Sequence[Address]


class Resolver:
    """Looks names up for one event loop."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def look_up(self, host: str, port: int) -> Addresses:
        """Return the addresses of ``host``, the system's preference first; raises ``OSError``."""
        if literal := _literal(host, port):
            return (literal,)
        found = self._running.get((host, port))
        if found is None:
            found = self._begin(host, port)
        return await asyncio.shield(found)

    def _begin(self, host: str, port: int) -> asyncio.Future[Addresses]:
        if len(self._running) >= MOST:
            raise OSError(f"{MOST} names are being looked up already")
        loop, key = asyncio.get_running_loop(), (host, port)
        found: asyncio.Future[Addresses] = loop.create_future()

        def tell(response: Addresses | Exception) -> None:
            del self._running[key]
            if isinstance(response, Exception):
                found.set_exception(response)
                found.exception()  # perhaps nobody waits any more
            else:
                found.set_result(response)

        def look() -> None:
            response: Addresses | Exception
            try:
                response = _ask_system(host, port)
            except (OSError, UnicodeError) as error:
                response = error if isinstance(error, OSError) else OSError(str(error))
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, response)

        threading.Thread(target=look, name=f"look up {host}", daemon=True).start()
        self._running[key] = found
        return found


def _ask_system(host: str, port: int) -> Addresses:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(Address(family, protocol, where) for family, _, protocol, _, where in found)


def _literal(host: str, port: int) -> Address | None:
    """Return the address that ``host`` is itself, if it is one without a scope."""
    if "%" in host:
        return None
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    if version == 4:  # noqa: PLR2004 - of the Internet Protocol
        return Address(socket.AF_INET, socket.IPPROTO_TCP, (host, port))
    return Address(socket.AF_INET6, socket.IPPROTO_TCP, (host, port, 0, 0))
