"""``status``: how the Portal is, on one screen: who and where, apps, contacts, what is wrong."""

import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from typing import Annotated, Any

import typer

from proxy.cli.health_report import TIMEOUT, destination, response_to
from proxy.cli.output import FAILED, PROGRAM, USAGE, Stop, remark, say, say_json, say_lines
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.cli.status_screen import screen
from proxy.config.portal_yaml import NEW
from proxy.core.errors import Invalid
from proxy.core.text_files.strict_json import parse_json
from proxy.http.upstream import UpstreamFailed, UpstreamRequest, UpstreamTimeouts
from proxy.state.backup_note import last_backup
from proxy.state.owner_token import read_owner_token

EVERY = 2.0
"""Seconds between two looks of ``--watch``."""
_PATH = b"/status"
_PATIENCE = 2 * TIMEOUT
"""Seconds: apps and contacts are asked meanwhile, each for two at most."""
_OK, _NOT_FOUND = 200, 404
_HOME = "\x1b[H\x1b[2J"
"""Clears a terminal."""

Watch = Annotated[
    bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")
]


def status(
    *, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False, watch: Watch = False
) -> None:
    """Show how this Portal is: one screen for all of it.

    Who it is; its listeners and its certificate; the apps, and whether each answers;
    the contacts, with the last call of each, in and out, since the proxy was started,
    and whether it can be reached; the last backup; what is wrong. Contacts that weren't
    heard of for a minute are asked, so this may take two seconds. With --json --watch
    it prints one line for each look. Exit status 1 where no proxy runs.

    For example:
      portal-proxy status
      portal-proxy status --watch
    """
    portal = open_portal(config)
    if watch and not as_json and not sys.stdout.isatty():
        raise Stop("--watch is for a terminal; for a program: --json --watch", status=USAGE)
    if not watch:
        found = look(portal)
        say_json(found) if as_json else say_lines(screen(found))
        if not found["runs"]:
            raise typer.Exit(FAILED)
        return
    with suppress(KeyboardInterrupt):
        while True:
            _show(look(portal), as_json=as_json)
            time.sleep(EVERY)


def look(portal: PortalFiles) -> dict[str, Any]:
    """Return all that is known: by the files, and by the running proxy where there is one."""
    told, why_not = asyncio.run(_ask(portal))
    portal_id = portal.config.id
    if portal_id in {None, NEW}:
        with suppress(Invalid):
            portal_id = portal.identity().public.portal_id
    if told is not None and portal_id not in {None, NEW, told["id"]}:
        told, why_not = None, "the proxy that answers is another Portal's"
    made = last_backup(portal.state.backup_note, portal_id or "")
    by_files: dict[str, Any] = {
        "id": portal_id,
        "name": portal.config.name,
        "address": str(portal.config.public_origin(portal_id)) if portal_id else None,
        "version": metadata.version(PROGRAM),
    }
    return {
        "runs": told is not None,
        "why_not": why_not,
        **by_files,
        **(told or {}),
        "program": by_files["version"],
        "backup": made,
        "throw_away": portal.config.id == NEW,
    }


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        from json import dumps  # noqa: PLC0415 - one line for each, where all else is laid out

        say(dumps(found))
        return
    sys.stdout.write(_HOME)
    say_lines(screen(found))
    remark("Every two seconds; Ctrl-C ends it.")


async def _ask(portal: PortalFiles) -> tuple[dict[str, Any] | None, str]:
    """Ask the running proxy; returns its answer, or why there is none."""
    address = portal.config.listen.owner
    token = read_owner_token(portal.state.owner_token)
    if token is None:
        return None, "no proxy was started here yet"
    fields = ((b"host", b"localhost"), (b"connection", b"close"), (b"portal-token", token))
    timeouts = UpstreamTimeouts(TIMEOUT, _PATIENCE, _PATIENCE)
    request = UpstreamRequest(destination(address), b"GET", _PATH, fields, None, timeouts)
    try:
        async with asyncio.timeout(_PATIENCE):
            code, body = await response_to(request, with_body=True)
    except TimeoutError:
        return None, f"the owner's listener at {address} doesn't answer in time"
    except UpstreamFailed:
        return None, f"nothing answers at the owner's listener, {address}"
    if code == _NOT_FOUND:
        return None, f"the proxy at {address} is another Portal's, or an older version"
    try:
        members = parse_json("status", body) if code == _OK else None
    except Invalid:
        members = None
    if not isinstance(members, dict) or not isinstance(members.get("id"), str):
        return None, f"what answers at {address} isn't a Portal's proxy"
    return members, ""
