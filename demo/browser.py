"""A browser of the conversation's own: it pairs with a Portal as any other does, and has a cookie.

It follows no link by itself and runs no script, so each step can be told.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from demo.report import check, tell, wait_until
from demo.stage import DemoError, Portal, Response, Stage, visit

NAME = "The demo's browser"
_HTML = {"Accept": "text/html"}


@dataclass(frozen=True)
class Browser:
    """A browser that is paired with one Portal."""

    portal: Portal
    cookie: str

    def visit(
        self,
        app: str,
        method: str,
        path: str,
        body: bytes | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Response:
        """Ask for what an app has, as this device of the owner's."""
        own = _HTML | {"Cookie": self.cookie}
        return visit(self.portal, app, method, path, body, own | dict(fields or {}))

    def cards_with(self, text: str) -> int:
        """Count the cards with ``text`` on the Portal's page."""
        page = self.visit("postcards", "GET", "/")
        if page.status != 200:  # noqa: PLR2004 - HTTP's OK
            raise DemoError(f"{self.portal.name}'s page answers {page}")
        return page.text.count(escape(text))

    def leave(self, stage: Stage) -> None:
        """Remove it from the owner's devices, and see that it is out."""
        _remove(stage, self.portal)
        wait_until(
            f"the end of the browser's time at {self.portal.name}'s",
            lambda: self.visit("postcards", "GET", "/").status != 200,  # noqa: PLR2004
        )


def pair(stage: Stage, portal: Portal) -> Browser:
    """Pair a browser with ``portal``; one that an earlier demo left is removed."""
    _remove(stage, portal)
    code = json.loads(stage.command(portal.key, "terminals", "pair", "--json"))["code"]
    sent = visit(portal, "postcards", "GET", "/", fields=_HTML)
    page = urlsplit(sent.fields.get("location", ""))
    if (sent.status, page.netloc) != (303, portal.host):
        raise DemoError(f"a browser that isn't known gets {sent} at {portal.page('postcards')}")
    form = urlencode({"code": code, "name": NAME, "to": portal.page("postcards")}).encode()
    fields = _HTML | {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"http://{portal.host}",
    }
    paired = visit(portal, "", "POST", page.path, form, fields)
    if (paired.status, paired.fields.get("location")) != (303, portal.page("postcards")):
        raise DemoError(f"{portal.name}'s Portal pairs no browser: {paired}: {paired.text[:300]}")
    given = SimpleCookie(paired.fields.get("set-cookie", ""))
    return Browser(portal, "; ".join(f"{name}={each.value}" for name, each in given.items()))


def pairing_address(stage: Stage, portal: Portal) -> str:
    """Return the address at which a person's browser pairs with ``portal`` and sees its cards."""
    code = json.loads(stage.command(portal.key, "terminals", "pair", "--json"))["code"]
    to = urlencode({"to": portal.page("postcards")})
    return f"http://{portal.host}/core/public/pair?{to}#code={code}"


def pairs(stage: Stage, portals: Mapping[str, Portal]) -> dict[str, Browser]:
    """Tell how a browser is paired with each Portal, and do it."""
    ada = portals["ada"]
    tell("\n1. The postcards are private. A stranger asks for Ada's:")
    check(visit(ada, "postcards", "GET", "/"), 401, "proof_required")
    tell("   A browser is sent to the pairing page, and pairs with a code: terminals pair")
    browsers = {key: pair(stage, portal) for key, portal in portals.items()}
    check(browsers["ada"].visit("postcards", "GET", "/"), 200)
    return browsers


def _remove(stage: Stage, portal: Portal) -> None:
    rows = json.loads(stage.command(portal.key, "terminals", "list", "--json"))
    for row in rows:
        if row["name"] == NAME:
            stage.command(portal.key, "terminals", "remove", row["id"])
