"""What a running proxy says of itself at the owner's listener, for ``health`` and ``check``."""

import asyncio
from dataclasses import dataclass

from proxy.config.listen import Address
from proxy.core.errors import Invalid
from proxy.core.http.origin import Origin
from proxy.core.text_files.strict_json import parse_json
from proxy.http.upstream import Destination, UpstreamFailed, UpstreamRequest, UpstreamTimeouts

TIMEOUT = 3.0
"""Seconds for all of it: connecting, asking and the response."""
PATH = b"/health"

_OK = 200
_LONGEST = 1 << 20
_LOOPBACK = "127.0.0.1"
_LOCAL = {"0.0.0.0": _LOOPBACK, "[::]": "::1"}  # noqa: S104 - not bound, mapped
"""What to connect to where a listener takes every address."""


@dataclass(frozen=True)
class HealthReport:
    """The response to ``GET /health``, as far as anybody must know it."""

    status: str
    """``ok``, or ``degraded`` where there are problems."""
    portal_id: str
    problems: tuple[str, ...]


def read_report(status: int, body: bytes) -> HealthReport | None:
    """Read a response of the owner's listener; None for any but what a proxy says of itself."""
    try:
        members = parse_json("health", body) if status == _OK else None
    except Invalid:
        return None
    if not isinstance(members, dict):
        return None
    said, portal_id, problems = (members.get(name) for name in ("status", "id", "problems"))
    if not isinstance(said, str) or not isinstance(portal_id, str):
        return None
    if not isinstance(problems, list) or not all(isinstance(each, str) for each in problems):
        return None
    return HealthReport(said, portal_id, tuple(problems))


def running_problems(owner: Address, portal_id: str) -> tuple[str, ...]:
    """Return what the Portal's running proxy says is wrong; nothing where none runs."""
    try:
        report = asyncio.run(_ask_owner(owner))
    except (TimeoutError, UpstreamFailed):
        return ()
    return report.problems if report is not None and report.portal_id == portal_id else ()


async def _ask_owner(owner: Address) -> HealthReport | None:
    fields = ((b"host", b"localhost"), (b"connection", b"close"))
    timeouts = UpstreamTimeouts(TIMEOUT, TIMEOUT, TIMEOUT)
    request = UpstreamRequest(destination(owner), b"GET", PATH, fields, None, timeouts)
    async with asyncio.timeout(TIMEOUT):
        return read_report(*await response_to(request, with_body=True))


async def response_to(request: UpstreamRequest, *, with_body: bool) -> tuple[int, bytes]:
    """Return the status and, if wanted, the beginning of the body of a listener's response."""
    from proxy.cli.http_client import HttpxUpstream, unverified_tls  # noqa: PLC0415 - heavy

    # Any certificate will do: whether others take it is what ``check`` looks at.
    upstream = HttpxUpstream(unverified_tls())
    body = bytearray()
    try:
        async with upstream.send(request) as response:
            if with_body:
                async for piece in response.pieces():
                    body += piece
                    if len(body) > _LONGEST:
                        break
            return response.status, bytes(body)
    finally:
        await upstream.close()


def destination(address: Address, *, tls: bool = False) -> Destination:
    """Return where a listener of this machine's is reached."""
    # TLS asks for no name by an address: the listener has one certificate.
    origin = Origin("https" if tls else "http", _LOOPBACK, address.port)
    if address.unix:
        return Destination(origin, unix=address.unix)
    host = _LOCAL.get(address.host, address.host.strip("[]"))
    return Destination(origin, connect=(host, address.port))
