"""``health``: whether every listener of this Portal answers."""

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import typer

from proxy.cli.files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.cli.output import FAILED, remark, say, say_json, why_unreachable
from proxy.config.listen import Address
from proxy.core.errors import Invalid

TIMEOUT = 3.0
"""Seconds for all of it: connecting, asking and the first line of the answer."""

_PATHS = {
    "public": "/core/public/meta/whoareyou",
    "apps": "/public/meta/whoareyou",
    "owner": "/health",
}
"""What anybody may ask: a health check every ten seconds must fill no log with refusals."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - not bound, mapped
"""What to connect to where a listener takes every address."""


@dataclass(frozen=True)
class Response:
    """What became of one listener; ``trouble`` is "" where it answered."""

    listener: str
    address: str
    trouble: str


def health(*, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Ask every listener whether it answers.

    Exit status 0 when each one does: any HTTP answer within three seconds. Made for
    health checks of a running proxy.

    For example:
      portal-proxy health --config config/ada
    """
    portal = open_portal(config)
    listen = portal.config.listen
    listeners = {"public": listen.public, "apps": listen.apps, "owner": listen.owner}
    secure = {"public"} if portal.config.tls is not None else set[str]()
    responses = asyncio.run(_ask_all(listeners, secure, _own_host(portal)))
    healthy = not any(response.trouble for response in responses)
    if as_json:
        rows = [
            {"name": a.listener, "address": a.address, "ok": not a.trouble, "trouble": a.trouble}
            for a in responses
        ]
        say_json({"ok": healthy, "listeners": rows})
    for response in responses:
        if response.trouble:
            remark(f"The {response.listener} listener at {response.address} {response.trouble}.")
        elif not as_json:
            say(f"The {response.listener} listener at {response.address} answers.")
    if not healthy:
        raise typer.Exit(FAILED)


def _own_host(portal: PortalFiles) -> str:
    """Return the public Host of the Portal itself; a key that can't be read is for ``check``."""
    try:
        return portal.config.public_origin(portal.identity().public.portal_id).authority
    except Invalid:
        return "localhost"


async def _ask_all(
    listeners: dict[str, Address], secure: Collection[str], host: str
) -> list[Response]:
    """Ask all listeners at once, with TLS those that are ``secure``."""
    return await asyncio.gather(
        *(_ask(name, at, host, tls=name in secure) for name, at in listeners.items())
    )


async def _ask(listener: str, address: Address, host: str, *, tls: bool) -> Response:
    """Ask one listener; every way of not answering becomes the end of a sentence."""
    trouble = ""
    where = host if listener == "public" else "localhost"
    request = f"GET {_PATHS[listener]} HTTP/1.1\r\nHost: {where}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(TIMEOUT):
            trouble = await _trouble_of(address, request.encode("ascii"), tls=tls)
    except TimeoutError:
        trouble = f"didn't answer within {TIMEOUT:g} seconds"
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        trouble = "doesn't speak HTTP"
    except ssl.SSLError as error:
        trouble = f"doesn't speak TLS: {error.reason or error}"
    except OSError as error:
        trouble = f"can't be reached: {why_unreachable(error)}"
    return Response(listener, str(address), trouble)


async def _trouble_of(address: Address, request: bytes, *, tls: bool) -> str:
    """Send one request and read the first line of what comes back."""
    # No name is asked for: the listener has one certificate.
    secure: dict[str, Any] = {"ssl": _unverified(), "server_hostname": ""} if tls else {}
    if address.unix:
        reader, writer = await asyncio.open_unix_connection(address.unix, **secure)
    else:
        host = _LOOPBACK.get(address.host, address.host.strip("[]"))
        reader, writer = await asyncio.open_connection(host, address.port, **secure)
    try:
        writer.write(request)
        first_line = await reader.readuntil(b"\n")
    finally:
        writer.close()
    return "" if first_line.startswith(b"HTTP/1.") else "doesn't speak HTTP"


def _unverified() -> ssl.SSLContext:
    """Return TLS that takes any certificate: whether others take it is what ``check`` looks at."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
