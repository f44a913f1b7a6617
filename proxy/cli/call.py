"""``call``: one call to a peer's app by hand, as this Portal's apps make them."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.arguments import Peer, the_contact
from proxy.cli.output import USAGE, Stop, remark
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder, open_portal
from proxy.config.timeouts import DEFAULT_TIMEOUTS
from proxy.core.access.target import parse_target
from proxy.core.app_fields import fields_of_call
from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, is_token, refuse_malformed
from proxy.core.http.origin import is_dns_label

Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", min=0.1, metavar="SECONDS", help="Give up when nothing moved for so long."
    ),
]

_PLAIN = re.compile(r'[!"$-~]+')
_LONGEST_METHOD = 40


def call(  # noqa: PLR0913 - the options of curl that people know
    peer: Peer,
    app: Annotated[str, typer.Argument(metavar="APP", help="The app at the peer, by its name.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="The path at the app, with its query: /peer/x?y=z")
    ],
    *,
    method: Annotated[
        str | None,
        typer.Option(
            "--request", "-X", metavar="METHOD", help="By default GET, and POST with --data."
        ),
    ] = None,
    headers: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="'NAME: VALUE'", help="A field to send; may stand repeatedly."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="DATA",
            help="The body: text, @FILE, or @- for stdin, sent as it comes.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the body there, not to stdout."),
    ] = None,
    fail: Annotated[
        bool, typer.Option("--fail", "-f", help="Status 400 and above: no body, exit status 1.")
    ] = False,
    include: Annotated[
        bool, typer.Option("--include", "-i", help="Print status and fields before the body.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell on stderr whom, how and how fast.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON about the response; its body goes to -o, or nowhere."
        ),
    ] = False,
    timeout: Timeout = DEFAULT_TIMEOUTS.peer_answer,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Call an app of a peer by hand, with this Portal's key.

    It is called as the contact list says: sealed, or signed where you pinned it, and
    never otherwise. Nothing is added to what you type. The proxy needn't run, and
    whether the app here may know the peer isn't asked: the peer asks on its side.

    The body is printed as it comes, byte for byte; at a terminal, control characters
    are shown as escape codes. Exit status 1 where the peer can't be reached or
    believed, its Portal refuses, or the response breaks off.

    For example:
      portal-proxy call bob guestbook /peer/entries
      portal-proxy call bob guestbook /peer/entries -d '{"text": "Hello!"}'
      portal-proxy call bob files /peer/x.jpg -H 'Accept: image/*' -o x.jpg
    """
    if as_json and include:
        raise Stop("--json has status and fields already: leave out --include", status=USAGE)
    target, sent = _target(path), _fields(headers or [])
    if not is_dns_label(app):
        raise Stop(f"{app!r} can't be the name of an app", status=USAGE)
    method = method or ("GET" if data is None else "POST")
    # CONNECT has no path to call.
    if len(method) > _LONGEST_METHOD or not is_token(method) or method == "CONNECT":
        raise Stop(f"--request: {method!r} isn't a method", status=USAGE)
    from proxy.cli.call_request import CallOptions, OutputOptions, carry_out  # noqa: PLC0415 - heavy

    portal = open_portal(config)
    contact = the_contact(portal.contacts.load(), peer)
    options = CallOptions(contact, app, method.encode("ascii"), target, sent, data, peer)
    shown = OutputOptions(output, fail=fail, include=include, verbose=verbose, as_json=as_json)
    carry_out(portal, options, shown, timeout)


def _target(path: str) -> bytes:
    """Return the request target, byte for byte as it was typed."""
    try:
        return parse_target(os.fsencode(path)).raw
    except Refusal as refusal:
        hint = "" if path.startswith("/") else "; it begins with /"
        if not hint and not _PLAIN.fullmatch(path):
            hint = "; write a blank as %20, # as %23, and likewise what isn't ASCII"
        raise Stop(f"PATH: {refusal.detail}{hint}", status=USAGE) from None


def _fields(typed: list[str]) -> tuple[Field, ...]:
    """Return the fields of ``--header`` as they travel; says which ones don't."""
    fields: list[Field] = []
    for line in typed:
        name, colon, value = os.fsencode(line).partition(b":")
        if not colon:
            raise Stop(f"--header: expected 'Name: value', not {line!r}", status=USAGE)
        fields.append((name.lower(), value.strip(b" \t")))
    try:
        refuse_malformed(fields)
        travelling = fields_of_call(fields)
    except Refusal as refusal:
        raise Stop(f"--header: {refusal.detail}", status=USAGE) from None
    for name, value in fields:
        if not fields_of_call([(name, value)]):
            why = "it belongs to the proxies, or to one hop"
            remark(f"Not sent: {name.decode('ascii')}; {why}, as in an app's call.")
    return tuple(travelling)
