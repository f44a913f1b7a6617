"""What ``dev`` shows: who the Portals are, how to reach them, and what happens between them."""

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxy.cli.dev_apps import DevApp
from proxy.cli.dev_log import Event, Part, Tone
from proxy.cli.dev_portals import DevPortal, own_manifest
from proxy.cli.output import command_line, say, say_painted
from proxy.core.identity import short_id

_SGR: Mapping[Tone, str] = {
    "": "", "good": "32", "bad": "31", "odd": "33", "name": "1", "dim": "2",
}  # fmt: skip
_STYLES = re.compile(r"\x1b\[[0-9;:]*m")
"""What colours an app's own output."""


def is_coloured(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether stdout shows colours, and they are wanted (no-color.org)."""
    is_wanted = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return is_wanted and sys.stdout.isatty()


class Report:
    """Tells a person, or with ``as_json`` a script, which gets a JSON object on each line."""

    def __init__(self, *, as_json: bool, coloured: bool | None = None) -> None:
        self._as_json = as_json
        self._coloured = (is_coloured() if coloured is None else coloured) and not as_json

    @property
    def is_for_script(self) -> bool:
        """Whether nobody is there to press a key."""
        return self._as_json

    def event(self, event: Event) -> None:
        """Tell something that happened."""
        if self._as_json:
            self.json(event.members)
            return
        self._line(event.parts)
        if event.because:
            self._line(((f"          {event.because}", "odd"),))

    def output(self, whose: str, text: str) -> None:
        """Show a line that an app has printed."""
        members = {"event": "output", "at": whose, "text": text}
        plain = _STYLES.sub("", text).replace("\t", "    ")
        self.event(Event(members, ((f"{whose} | ", "dim"), (plain, ""))))

    def tell(self, text: str, members: Mapping[str, object]) -> None:
        """Tell what isn't in any log."""
        self.event(Event(members, ((text, "odd"),)))

    def ready(
        self, portals: Sequence[DevPortal], apps: Sequence[DevApp], folder: Path, end: str
    ) -> None:
        """Tell who the Portals are, and how each app and each browser reaches them.

        ``end`` says how it ends.
        """
        now = time.time()
        if self._as_json:
            self.json(ready_members(portals, folder, now))
            return
        count = {2: "Two", 3: "Three"}.get(len(portals), str(len(portals)))
        say(f"{count} Portals run here, and know each other. {end}")
        for each in apps:
            say(_about_manifest(each, folder))
        for portal in portals:
            self._portal(portal)
        say()
        self.links(portals, now)
        first, other = portals[:2]
        app = next(iter(first.upstreams))
        say()
        say("The environment of each app, for the shell from which it is started:")
        for portal in portals:
            for name in portal.upstreams:
                say(f"  {portal.name + ',':<6}{name:<10} . {portal.shell_file(name)}")
        say("  The same for docker run, Compose and Node is beside it, as .env")
        say(f"In the first, a call from {first.name} to {other.name} is, for instance:")
        say(f"  curl http://portal_core/internal/call_peer/{short_id(other.id)}/peer/")
        # Without the port: with it a client that opens a tunnel would be refused.
        host = other.files.config.public_origin(other.id).of_app(app).host
        say(f"  curl http://{host}/peer/")
        say("  For services of your own write 127.0.0.1: localhost goes to the proxy, as they do.")
        say("  Services at other hosts you name by --no-proxy.")
        say(f"Every command works on them, as: {command_line(first.config, 'apps', 'list')}")
        say()

    def links(self, portals: Sequence[DevPortal], now: float) -> None:
        """Tell by which addresses a browser becomes the owner's."""
        new = " (Enter: new ones)" if sys.stdin is not None and sys.stdin.isatty() else ""
        say(f"Open as the owner, for what is private; each is good once, for ten minutes{new}:")
        for portal in portals:
            app = next(iter(portal.upstreams))
            say(f"  {portal.name + ',':<6}{app:<10} {portal.pairing_link(app, now)}")

    def json(self, members: Mapping[str, object]) -> None:
        """Print one object on a line of its own; all ASCII."""
        say(json.dumps(members))

    def _portal(self, portal: DevPortal) -> None:
        say()
        self._line(((portal.name, "name"), (f"  {short_id(portal.id)}  {portal.id}", "dim")))
        for app, upstream in portal.upstreams.items():
            say(f"  {app:<10} {portal.page(app)}  for a browser, as a stranger")
            say(f"  {'':<10} runs at {upstream}")

    def _line(self, parts: Sequence[Part]) -> None:
        styled = [(text, _SGR[tone] if self._coloured else "") for text, tone in parts if text]
        say_painted(styled)


def ready_members(portals: Sequence[DevPortal], folder: Path, now: float) -> dict[str, object]:
    """Return all that a script needs to know, secrets included."""
    return {
        "event": "ready",
        "folder": str(folder),
        "portals": [
            {
                "name": portal.name,
                "id": portal.id,
                "config": str(portal.config),
                "origin": str(portal.files.config.public_origin(portal.id)),
                "pairing_link": portal.pairing_link(next(iter(portal.upstreams)), now),
                "apps": {
                    app: {
                        "upstream": upstream,
                        "page": portal.page(app),
                        "environment": portal.environment(app),
                        "env_file": str(portal.env_file(app)),
                    }
                    for app, upstream in portal.upstreams.items()
                },
            }
            for portal in portals
        ],
    }


def _about_manifest(app: DevApp, folder: Path) -> str:
    if app.manifest is None:
        what = 'there was none, so this one: all is private, and "/peer/" for peers'
        return f"{app.name}: {own_manifest(folder, app.name)} ({what}), followed as it changes"
    return f"{app.name}: {app.manifest}, followed as it changes"
