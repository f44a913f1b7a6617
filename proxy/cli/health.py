"""``health``: whether every listener of this Portal answers."""

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass

import typer

from proxy.cli.output import FAILED, remark, say, say_json, why_unreachable
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.config.listen import Address
from proxy.core.errors import Invalid
from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination, UpstreamFailed, UpstreamRequest, UpstreamTimeouts

TIMEOUT = 3.0
"""Seconds for all of it: connecting, asking and the head of the response."""

_PATHS = {
    "public": b"/core/public/meta/whoareyou",
    "apps": b"/public/meta/whoareyou",
    "owner": b"/health",
}
"""What anybody may ask: a health check every ten seconds must fill no log with refusals."""

_LOOPBACK = "127.0.0.1"
_LOCAL = {"0.0.0.0": _LOOPBACK, "[::]": "::1"}  # noqa: S104 - not bound, mapped
"""What to connect to where a listener takes every address."""


@dataclass(frozen=True)
class Finding:
    """What was found of one listener; ``trouble`` is "" where it answered."""

    listener: str
    address: str
    trouble: str


def health(*, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Ask every listener whether it answers.

    Exit status 0 when each one does: any HTTP response within three seconds. Made for
    health checks of a running proxy.

    For example:
      portal-proxy health --config config/ada
    """
    portal = open_portal(config)
    listen = portal.config.listen
    listeners = {"public": listen.public, "apps": listen.apps, "owner": listen.owner}
    secure = {"public"} if portal.config.tls is not None else set[str]()
    findings = asyncio.run(_ask_all(listeners, secure, _own_host(portal)))
    healthy = not any(finding.trouble for finding in findings)
    if as_json:
        rows = [
            {"name": f.listener, "address": f.address, "ok": not f.trouble, "trouble": f.trouble}
            for f in findings
        ]
        say_json({"ok": healthy, "listeners": rows})
    for finding in findings:
        if finding.trouble:
            remark(f"The {finding.listener} listener at {finding.address} {finding.trouble}.")
        elif not as_json:
            say(f"The {finding.listener} listener at {finding.address} answers.")
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
) -> list[Finding]:
    """Ask all listeners at once, with TLS those that are ``secure``."""
    return await asyncio.gather(
        *(_ask(name, at, host, tls=name in secure) for name, at in listeners.items())
    )


async def _ask(listener: str, address: Address, host: str, *, tls: bool) -> Finding:
    """Ask one listener; every way of not answering becomes the end of a sentence."""
    fields = (
        (b"host", (host if listener == "public" else "localhost").encode("ascii")),
        (b"connection", b"close"),
    )
    to = _destination(address, tls=tls)
    timeouts = UpstreamTimeouts(TIMEOUT, TIMEOUT, TIMEOUT)
    trouble = ""
    try:
        async with asyncio.timeout(TIMEOUT):
            await _send(UpstreamRequest(to, b"GET", _PATHS[listener], fields, None, timeouts))
    except TimeoutError:
        trouble = f"didn't answer within {TIMEOUT:g} seconds"
    except UpstreamFailed as failure:
        trouble = _trouble(failure)
    return Finding(listener, str(address), trouble)


async def _send(request: UpstreamRequest) -> None:
    """Return once there is a response, whatever it is."""
    from proxy.cli.http_client import HttpxUpstream, unverified_tls  # noqa: PLC0415 - heavy

    # Any certificate will do: whether others take it is what ``check`` looks at.
    upstream = HttpxUpstream(unverified_tls())
    try:
        async with upstream.send(request):
            pass
    finally:
        await upstream.close()


def _destination(address: Address, *, tls: bool) -> Destination:
    # TLS asks for no name by an address: the listener has one certificate.
    origin = Origin("https" if tls else "http", _LOOPBACK, address.port)
    if address.unix:
        return Destination(origin, unix=address.unix)
    host = _LOCAL.get(address.host, address.host.strip("[]"))
    return Destination(origin, connect=(host, address.port))


def _trouble(failure: UpstreamFailed) -> str:
    from proxy.cli.http_client import cause_of  # noqa: PLC0415 - as above

    cause = cause_of(failure)
    if failure.timeout:
        return f"didn't answer within {TIMEOUT:g} seconds"
    if isinstance(cause, ssl.SSLError):
        return f"doesn't speak TLS: {cause.reason or cause}"
    if cause is not None:
        return f"can't be reached: {why_unreachable(cause)}"
    return "doesn't speak HTTP"
