"""One call by hand: what was typed becomes a request, and the response what is printed."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path

from proxy.cli.call_body import (
    Counted,
    Nowhere,
    Sink,
    Source,
    TypedBody,
    created,
    source_of,
    stdout,
)
from proxy.cli.call_transport import engine, refusal_words, transport
from proxy.cli.output import Stop, command_line, remark, say, say_json, utc
from proxy.cli.portal_files import PortalFiles
from proxy.cli.progress import Transfer
from proxy.core.access.policy import Contact
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.http.upstream import Upstream, UpstreamFailed
from proxy.outbound.call import Call, CallResponse, CallTransport
from proxy.outbound.identity_documents import Directory

_ERROR = 400
"""The first status that ``--fail`` takes for a failure."""
_UNKNOWN = frozenset({Code.OUTCOME_UNKNOWN, Code.OUTCOME_UNKNOWN_LATE})
_ABOUT_THE_CONTACT = _UNKNOWN | {
    *(Code.PEER_UNREACHABLE, Code.PEER_TIMEOUT, Code.PEER_UNTRUSTED, Code.NO_SEALING_KEY)
}
"""Refusals that ``ping`` may find the reason for."""


@dataclass(frozen=True)
class CallOptions:
    """What is sent, and to whom; ``data`` is as it was typed."""

    contact: Contact
    app: str
    method: bytes
    target: bytes
    fields: tuple[Field, ...]
    data: str | None
    typed: str
    """How the contact was named."""


@dataclass(frozen=True)
class OutputOptions:
    """What is done with the response."""

    file: Path | None
    fail: bool
    include: bool
    verbose: bool
    as_json: bool


@dataclass
class CallReport:
    """What is known of the call so far, for ``--verbose`` and ``--json``; times in seconds."""

    options: CallOptions
    started: float = field(default_factory=time.monotonic)
    document: float | None = None
    sealing_key: int | None = None
    first_byte: float | None = None
    status: int | None = None
    fields: tuple[Field, ...] = ()
    refusal: str = ""
    size: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def described(self, error: str) -> dict[str, object]:
        """Return it for ``--json``."""
        contact = self.options.contact
        return {
            "ok": not error,
            "peer": contact.id,
            "name": contact.name,
            "mode": contact.mode,
            "sealing_key": self.sealing_key,
            "status": self.status,
            "fields": [[_text(name), _text(value)] for name, value in self.fields],
            "refusal": self.refusal or None,
            "bytes": self.size,
            "seconds": {
                "document": self.document,
                "first_byte": self.first_byte,
                "total": self.seconds,
            },
            "error": error or None,
        }


def carry_out(
    portal: PortalFiles, options: CallOptions, output: OutputOptions, patience: float
) -> None:
    """Make the call and print its response; raises ``Stop`` for all that goes wrong on the way."""
    authorities = portal.peer_authorities()
    ready = partial(transport, options.contact.mode, portal.identity(), limits=portal.config.limits)
    report = CallReport(options)
    stop = None
    try:
        with ExitStack() as stack:
            body = TypedBody(b"") if options.data is None else source_of(options.data, stack)
            shown = stack.enter_context(Transfer(body.size if options.data is not None else None))
            asyncio.run(_exchange(ready, body, report, output, patience, authorities, shown))
    except Stop as reason:
        stop = reason
    except Refusal as refusal:
        words, hint = _in_words(refusal).rstrip("."), ""
        if refusal.code in _ABOUT_THE_CONTACT:
            dot = "" if words.endswith("?") else "."
            hint = f"{dot} See: {command_line(portal.folder, 'ping', options.typed)}"
        stop = Stop(f"{words}{hint}")
    except UpstreamFailed as failure:
        stop = Stop(f"the response broke off after {report.size} bytes: {failure.detail}")
    except KeyboardInterrupt:
        stop = Stop(f"stopped after {report.size} bytes; the call was perhaps carried out")
    if output.as_json:
        say_json(report.described(stop.reason if stop else ""))
    if stop is not None:
        raise stop


def _in_words(refusal: Refusal) -> str:
    """Return what went wrong first, and then what that means for the call."""
    title, detail = refusal.code.title, refusal.detail
    untrusted = f"{Code.PEER_UNTRUSTED.public}: "
    if refusal.code in _UNKNOWN and detail.startswith(untrusted):
        why = f"{Code.PEER_UNTRUSTED.title} {detail.removeprefix(untrusted).rstrip('.')}."
        return f"{why} {title}"
    return f"{title} {detail}"


async def _exchange(
    ready: Callable[[Upstream, Directory], CallTransport],
    body: Source,
    report: CallReport,
    output: OutputOptions,
    patience: float,
    authorities: str,
    shown: Transfer,
) -> None:
    options = report.options
    contact = options.contact
    has_body = options.data is not None
    call = Call(
        app=options.app,
        contact=contact,
        method=options.method,
        target=options.target,
        fields=options.fields,
        has_body=has_body,
        size=body.size if has_body else None,
    )
    tell = remark if output.verbose else _say_nothing
    connect = f", reached at {contact.connect}" if contact.connect else ""
    tell(f"peer         {contact.name}, {contact.id}")
    tell(f"address      {contact.address}{connect}")
    tell(f"call         {_text(call.method)} {call.origin}{_text(call.target)}")
    tell(f"mode         {contact.mode}")
    async with engine(patience, authorities) as upstream:
        directory = Directory(upstream)
        if contact.mode == "sealed":
            document = await directory.document(contact)
            report.document = report.seconds
            tell(f"document     {report.document:.3f} s")
            offered = document.sealing_key(time.time())
            if offered is not None:
                report.sealing_key = offered.config.key_id
                tell(f"sealing key  {report.sealing_key}, until {utc(offered.until)}")
        async with ready(upstream, directory).carry_out(call, Counted(body, shown)) as response:
            report.first_byte = report.seconds
            report.status, report.fields = response.status, response.fields
            report.refusal = response.refusal.code
            tell(f"status       {response.status}")
            tell(f"first byte   {report.first_byte:.3f} s")
            await _print_response(response, report, output, shown)
    tell(f"total        {report.seconds:.3f} s, {report.size} bytes")


async def _print_response(
    response: CallResponse, report: CallReport, output: OutputOptions, shown: Transfer
) -> None:
    """Print or write the response as it comes; raises ``Stop`` for what counts as a failure."""
    if output.include or (output.file is None and sys.stdout is not None and sys.stdout.isatty()):
        shown.close()  # what is printed now has the terminal for itself
    if output.include:
        say(f"{response.status} {_phrase(response.status)}".rstrip())
        for name, value in response.fields:
            say(f"{_text(name)}: {_text(value)}")
        say()
    who = report.options.contact.name
    if report.refusal:
        raise Stop(f"{who}'s Portal refuses ({response.status}). {refusal_words(report.refusal)}")
    if output.fail and response.status >= _ERROR:
        phrase = _phrase(response.status)
        raise Stop(f"{report.options.app} at {who} answered {response.status} {phrase}".rstrip())
    with ExitStack() as stack:
        sink = _sink(output, stack)
        async for piece in response.pieces:
            sink.write(piece)
            shown.received(len(piece))
            report.size += len(piece)


def _sink(output: OutputOptions, stack: ExitStack) -> Sink:
    if output.file is not None:
        return created(output.file, stack)
    return Nowhere() if output.as_json else stdout()


def _phrase(status: int) -> str:
    """Return what a status is called; "" for one that isn't registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _text(data: bytes) -> str:
    """Return bytes of a head as text that can be told from any other."""
    return data.decode("utf-8", "backslashreplace")


def _say_nothing(line: str) -> None:
    """Take the place of ``remark`` where nothing is to be told."""
