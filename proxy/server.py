"""The listeners: bound by us, run by uvicorn, read by ``proxy.hop.listener``.

uvicorn keeps the event loop's servers and the shutdown. Its own protocols are not used: httptools
takes trailers for fields, h11 takes two lengths, neither limits a client's time
(docs/decisions/0012-a-hop-of-our-own.md).
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from proxy.config import Address
from proxy.hop.listener import ListenerProtocol

GRACE = 7
"""Seconds that running requests get to finish; container engines kill after ten."""


class Listener(uvicorn.Server):
    """One listening socket and the ASGI app behind it; signals are the composition root's."""

    def __init__(self, name: str, app: Any, address: Address) -> None:  # noqa: ANN401 - ASGI
        super().__init__(
            uvicorn.Config(
                app,
                http=ListenerProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self.name = name
        self.socket = bind(address)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: one handler ends every listener."""
        yield

    async def run_until_stopped(self) -> None:
        """Serve until ``should_exit`` is set."""
        await self.serve(sockets=[self.socket])

    @property
    def where(self) -> str:
        """The bound address, as a person would type it."""
        name = self.socket.getsockname()
        if isinstance(name, str):
            return f"unix:{name}"
        host = f"[{name[0]}]" if self.socket.family is socket.AF_INET6 else name[0]
        return f"http://{host}:{name[1]}"


def bind(address: Address) -> socket.socket:
    """Return a bound socket for ``address``; raises ``OSError``.

    A unix socket that nobody listens on any more is replaced; any other file is left alone.
    """
    if address.unix:
        return _bind_unix(Path(address.unix))
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)  # noqa: FBT003 - the socket API
    return bound


def _bind_unix(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not _answers(path):
            path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    bound.setblocking(False)  # noqa: FBT003 - the socket API
    return bound


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
