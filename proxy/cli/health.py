"""``health``: whether every listener of this Portal answers, and what its proxy says is wrong."""

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass, replace

import typer

from proxy.cli.health_report import (
    PATH,
    TIMEOUT,
    HealthReport,
    destination,
    read_report,
    response_to,
)
from proxy.cli.output import FAILED, remark, say, say_json, why_unreachable
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.config.listen import Address
from proxy.core.errors import Invalid, shown
from proxy.http.upstream import UpstreamFailed, UpstreamRequest, UpstreamTimeouts

_WELL = "ok"
_PATHS = {
    "public": b"/core/public/meta/whoareyou",
    "apps": b"/public/meta/whoareyou",
    "owner": PATH,
}
"""What anybody may ask: a health check every ten seconds must fill no log with refusals."""


@dataclass(frozen=True)
class Finding:
    """What was found of one listener; ``trouble`` is "" where it answered."""

    listener: str
    address: str
    trouble: str
    report: HealthReport | None = None
    """What the proxy says of itself, at the owner's listener."""


def health(*, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Ask every listener whether it answers, and the proxy what is wrong.

    Exit status 0 when each one does, with any HTTP response within three seconds, and
    the proxy says at the owner's listener that all is well. Each of its problems is
    shown; what to do about most of them, check says too. Made for health checks of a
    running proxy.

    For example:
      portal-proxy health --config config/ada
    """
    portal = open_portal(config)
    listen = portal.config.listen
    listeners = {"public": listen.public, "apps": listen.apps, "owner": listen.owner}
    secure = {"public"} if portal.config.tls is not None else set[str]()
    findings = asyncio.run(_ask_all(listeners, secure, *_who(portal)))
    report = next((finding.report for finding in findings if finding.report), None)
    problems = report.problems if report is not None else ()
    is_degraded = report is not None and report.status != _WELL
    healthy = not any(finding.trouble for finding in findings) and not is_degraded
    if as_json:
        rows = [
            {"name": f.listener, "address": f.address, "ok": not f.trouble, "trouble": f.trouble}
            for f in findings
        ]
        status = report.status if report is not None else None
        shown_problems = [shown(problem) for problem in problems]
        said = {"status": status, "problems": shown_problems}
        say_json({"ok": healthy, "listeners": rows, **said})
    for finding in findings:
        if finding.trouble:
            remark(f"The {finding.listener} listener at {finding.address} {finding.trouble}.")
        elif not as_json:
            say(f"The {finding.listener} listener at {finding.address} answers.")
    if is_degraded:
        for problem in problems:
            remark(f"problem: {problem}")
        if not problems:
            remark("The proxy says that it isn't well.")
    if not healthy:
        raise typer.Exit(FAILED)


def _who(portal: PortalFiles) -> tuple[str, str]:
    """Return the public Host and the ID of the Portal; a key that can't be read is for ``check``.

    Then nobody can tell whose proxy answers.
    """
    try:
        portal_id = portal.identity().public.portal_id
    except Invalid:
        return "localhost", ""
    return portal.config.public_origin(portal_id).authority, portal_id


async def _ask_all(
    listeners: dict[str, Address], secure: Collection[str], host: str, portal_id: str
) -> list[Finding]:
    """Ask all listeners at once, with TLS those that are ``secure``."""
    found = await asyncio.gather(
        *(_ask(name, at, host, tls=name in secure) for name, at in listeners.items())
    )
    return [_judged(finding, portal_id) for finding in found]


def _judged(finding: Finding, portal_id: str) -> Finding:
    """Return the finding with what is wrong about who answered at the owner's listener."""
    if finding.listener != "owner" or finding.trouble:
        return finding
    if finding.report is None:
        return replace(finding, trouble="answers, but doesn't say how the proxy is")
    if portal_id not in ("", finding.report.portal_id):
        return replace(finding, trouble="is another Portal's", report=None)
    return finding


async def _ask(listener: str, address: Address, host: str, *, tls: bool) -> Finding:
    """Ask one listener; every way of not answering becomes the end of a sentence."""
    fields = (
        (b"host", (host if listener == "public" else "localhost").encode("ascii")),
        (b"connection", b"close"),
    )
    to = destination(address, tls=tls)
    timeouts = UpstreamTimeouts(TIMEOUT, TIMEOUT, TIMEOUT)
    request = UpstreamRequest(to, b"GET", _PATHS[listener], fields, None, timeouts)
    trouble, report = "", None
    try:
        async with asyncio.timeout(TIMEOUT):
            got = await response_to(request, with_body=listener == "owner")
            report = read_report(*got) if listener == "owner" else None
    except TimeoutError:
        trouble = f"didn't answer within {TIMEOUT:g} seconds"
    except UpstreamFailed as failure:
        trouble = _trouble(failure)
    return Finding(listener, str(address), trouble, report)


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
