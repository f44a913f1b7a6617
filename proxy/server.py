"""The way in: uvicorn with h11, its listeners bound by us, and the exact target kept.

uvicorn's scope can't tell ``/a`` from ``/a?``, and h11 leaves Content-Length beside
Transfer-Encoding: both are settled here, where the bytes come in. h11 rather than httptools,
because httptools merges chunked trailers into the header fields, and a forged identity field
would arrive that way (docs/decisions/0003-way-in.md).
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from proxy.body import Scope
from proxy.config import Address
from proxy.core.answers import refusal_answer
from proxy.core.errors import Code, Refusal

log = logging.getLogger("proxy.server")

MAX_HEAD = 64 * 1024
"""Bytes of a request's head; more is 431 or 400 before the proxy sees it."""
KEEP_ALIVE = 75
GRACE = 7
"""Seconds that running requests get to finish; container engines kill after ten."""
_TARGET = "portal.target"


class _ExactConnection(h11.Connection):
    """An h11 connection that keeps the request target as it stood on the wire."""

    method = b""
    target = b""

    def next_event(self) -> Any:  # noqa: ANN401 - h11's own union, not exported
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.method, self.target = event.method, event.target
            names = {name for name, _ in event.headers}
            if b"transfer-encoding" in names and b"content-length" in names:
                # RFC 9112, 6.3: two lengths are two readings of where the next request begins.
                raise h11.RemoteProtocolError("Content-Length beside Transfer-Encoding")
        return event


class _ConnectionState(dict[str, Any]):
    """What uvicorn copies into ``scope["state"]``: here, the target of the current request."""

    def __init__(self, shared: dict[str, Any], connection: _ExactConnection) -> None:
        super().__init__(shared)
        self._connection = connection

    def copy(self) -> dict[str, Any]:
        return {**self, _TARGET: self._connection.target}


class ExactProtocol(H11Protocol):
    """uvicorn's h11 protocol with the connection above, and refusals in the form of all others."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._connection = _ExactConnection(h11.SERVER, MAX_HEAD)
        self.conn = self._connection
        self.app_state = _ConnectionState(app_state, self._connection)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse what isn't HTTP. Behind an answer that has begun, only close the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = refusal_answer(Refusal(Code.BAD_REQUEST))
            length = str(len(answer.body)).encode("ascii")
            fields = [*answer.fields, (b"content-length", length), (b"connection", b"close")]
            body = b"" if self._connection.method == b"HEAD" else answer.body
            for event in (
                h11.Response(status_code=answer.status, headers=fields, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def target_of(scope: Scope) -> bytes:
    """Return the request target as on the wire; under another server, the best it can tell."""
    exact = scope.get("state", {}).get(_TARGET)
    if exact is not None:
        return cast(bytes, exact)
    path = cast(bytes, scope.get("raw_path") or scope["path"].encode("utf-8"))
    query = cast(bytes, scope.get("query_string", b""))
    return path + b"?" + query if query else path


class Listener(uvicorn.Server):
    """One listening socket and the ASGI app behind it; signals are the composition root's."""

    def __init__(self, name: str, app: Any, address: Address) -> None:  # noqa: ANN401 - ASGI
        super().__init__(
            uvicorn.Config(
                app,
                http=ExactProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE,
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
