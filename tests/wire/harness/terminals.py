"""A browser as bytes: it pairs with a Portal, and carries a cookie."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from proxy.core.terminals.cookie import COOKIE_PLAIN
from proxy.state.terminals import NewCode, PairingStore, TerminalStore, without_terminal
from tests.wire.harness.raw import Raw, RawConnection, request

if TYPE_CHECKING:
    from proxy.core.terminals.terminals import Terminal

    from .portals import Portal

PAIR = "/core/public/pair"
FORM = ("Content-Type", "application/x-www-form-urlencoded")
HTML = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
NAME = COOKIE_PLAIN.decode()
"""The cookie's name: these Portals are reached by http."""


def terminal_store(portal: Portal) -> TerminalStore:
    return TerminalStore(portal.state / "terminals.yaml")


def new_code(portal: Portal) -> str:
    """Return a new code of the owner's, as it is typed."""
    return new_codes(portal).typed


def new_codes(portal: Portal) -> NewCode:
    """Return a new code of the owner's, in both forms."""
    store = PairingStore(portal.state / "pairing.yaml", terminal_store(portal))
    return store.new_code(time.time() + portal.clock_shift)


def terminals(portal: Portal) -> list[Terminal]:
    """Return the owner's devices, as their file has them."""
    return list(terminal_store(portal).load().terminals)


def remove(portal: Portal, terminal_id: str) -> None:
    """Remove a device, as the owner's command does."""
    terminal_store(portal).change(lambda before: without_terminal(before, terminal_id))


def send(portal: Portal, raw: bytes, came_from: str = "") -> Raw:
    """Send these bytes to the public listener, from another loopback address if one is given."""
    with RawConnection(portal.public, came_from) as wire:
        wire.send(raw)
        return wire.read(to_head=raw.startswith(b"HEAD "))


def ask_page(portal: Portal, query: str = "", *fields: tuple[str, str]) -> Raw:
    """Ask for the pairing page."""
    return send(portal, request("GET", PAIR + query, ("Host", portal.host), *fields))


def send_form(
    portal: Portal, code: str, *fields: tuple[str, str], name: str = "Phone", to: str = "",
    came_from: str = "",
) -> Raw:  # fmt: skip
    """Send the pairing page's form, with ``fields`` that say whose page it was."""
    body = urlencode({"code": code, "name": name, "to": to}).encode()
    raw = request("POST", PAIR, ("Host", portal.host), FORM, *fields, body=body)
    return send(portal, raw, came_from)


def from_the_page(portal: Portal) -> tuple[str, str]:
    """Return the field by which a browser says that the form is on the pairing page."""
    return ("Origin", f"http://{portal.host}")


@dataclass(frozen=True)
class Device:
    """A browser that is paired."""

    id: str
    token: str

    @property
    def cookie(self) -> tuple[str, str]:
        return ("Cookie", f"{NAME}={self.token}")


def token_of(paired: Raw) -> str:
    """Return the token that a response sets."""
    name, _, rest = paired.one("set-cookie").decode().partition("=")
    assert name == NAME
    return rest.partition(";")[0]


def pair(portal: Portal, name: str = "Phone") -> Device:
    """Pair a browser, and return it."""
    paired = send_form(portal, new_code(portal), from_the_page(portal), HTML, name=name)
    assert paired.status == 303, paired
    return Device(terminals(portal)[-1].id, token_of(paired))
