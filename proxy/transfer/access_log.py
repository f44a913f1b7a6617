"""One line of the log for each request, whatever became of it (``proxy.core.log_line``).

A relay begins its line and writes it (``proxy.transfer.relay``). ``Logged`` does so for an
ASGI app: it counts and times what passes; behind it, ``line_of`` gives the line to whoever learns
something about it.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy import logging_setup as logs
from proxy.core.gate import Request
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import indexed, values_of
from proxy.core.http1.grammar import RequestHead
from proxy.core.log_line import (
    ANSWERED,
    BROKEN,
    LEFT,
    REFUSED,
    REVOKED,
    RequestLine,
    shown,
    shown_path,
)
from proxy.http.scope import RAW, UPGRADE, target_of
from proxy.http.upstream import UpstreamFailed
from proxy.transfer.request_counts import RequestCounter

_LINE = "portal.line"


class Logged:
    """Wraps the app of the listener ``listener``; ``counter`` counts its requests."""

    def __init__(self, app: ASGIApp, listener: str, counter: RequestCounter | None = None) -> None:
        self._app = app
        self._listener = listener
        self._counter = counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and write its line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "headers": indexed(scope["headers"])}
        scope[_LINE] = line = _begin(scope, self._listener)
        meter = _Meter(line, receive, send)
        try:
            await self._app(scope, meter.receive, meter.send)
        except asyncio.CancelledError:
            line.outcome = LEFT
            raise
        except UpstreamFailed as failure:
            line.outcome, line.detail = line.outcome or BROKEN, failure.detail
            raise
        except Exception:
            line.outcome = BROKEN
            raise
        finally:
            meter.stop()
            write_line(line)
            if self._counter is not None:
                self._counter.count(line)


def begin_line(listener: str, head: RequestHead, remote: RemotePeer) -> RequestLine:
    """Return the line of a request that comes from ``remote``."""
    line = RequestLine()
    line.listener = listener
    line.method = head.method
    line.host = b",".join(values_of(head.fields, b"host"))
    line.target = head.target
    line.request_id = _new_id()
    line.client = remote.address or "unknown"
    return line


def write_line(line: RequestLine) -> None:
    """Write the line of a request that is over."""
    if not line.outcome:
        line.outcome = REFUSED if line.code else ANSWERED
    logs.write(line, _level(line))


def line_of(scope: Scope) -> RequestLine:
    """Return the line of a request; where nothing writes one, one that nobody reads."""
    line: RequestLine | None = scope.get(_LINE)
    return line if line is not None else _begin(scope, "")


def named(request: Request) -> str:
    """Return a request as other messages name it: method, host and path."""
    host = b",".join(values_of(request.fields, b"host"))
    return f"{shown(request.method)} {shown(host)} {shown_path(request.target)}"


class _Meter:
    """The two ends of a request, with what passes there counted and timed."""

    def __init__(self, line: RequestLine, receive: Receive, send: Send) -> None:
        self._line = line
        self._receive = receive
        self._send = send
        self._began = perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        kind = message["type"]
        if kind == "http.request":
            self._line.bytes_in += len(message.get("body", b""))
        elif kind == RAW:
            self._line.bytes_in += len(message["data"])
        return message

    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.body":
            self._line.bytes_out += len(message.get("body", b""))
        elif kind == RAW:
            self._line.bytes_out += len(message["data"])
        elif kind in ("http.response.start", UPGRADE):
            self._line.first = perf_counter() - self._began
            if not self._line.status:
                self._line.status = message.get("status", 101)
        return self._send(message)  # which may take long, and the message isn't kept here meanwhile

    def stop(self) -> None:
        self._line.seconds = perf_counter() - self._began


def _begin(scope: Scope, listener: str) -> RequestLine:
    head = RequestHead(scope["method"].encode("ascii"), target_of(scope), 1, scope["headers"])
    client = scope.get("client")
    return begin_line(listener, head, RemotePeer(client[0] if client else ""))


def _new_id() -> str:
    """Return a random ID; many are drawn at once, since to ask the system takes longer."""
    if not _ids:
        drawn = os.urandom(16 * _DRAWN).hex()
        _ids.extend(drawn[at : at + 32] for at in range(0, len(drawn), 32))
    return _ids.pop()


_DRAWN = 64
_ids: list[str] = []
os.register_at_fork(after_in_child=_ids.clear)  # or two workers would give the same ones


def _level(line: RequestLine) -> int:
    if line.outcome == ANSWERED:
        return logging.DEBUG if line.is_quiet else logging.INFO
    if line.outcome in (LEFT, REVOKED):
        return logging.INFO
    return logging.ERROR if line.status == 500 and line.code else logging.WARNING  # noqa: PLR2004
