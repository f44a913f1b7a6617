"""HTTP requests to the app, from the page and from peers.

The Portal's proxy stands in front and says in ``X-Ptl-*`` fields who is calling; app.json says who
may. So there are no accounts and no keys here.
"""

import json
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from . import post
from .box import Box, Card, clean_text
from .page import View, render

_BODY_LIMIT = 16 * 1024
"""Bytes of a request body: a card of 500 characters fits in any encoding."""
_STYLE = Path(__file__).with_name("style.css").read_bytes()
_ALWAYS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RequestError(Exception):
    """A request that isn't taken: a status and a sentence."""

    def __init__(self, status: HTTPStatus, what: str) -> None:
        super().__init__(what)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One request: the page, its style, the page's form, and what peers send."""

    timeout = 30  # seconds that a client may keep a thread waiting
    server_version = "postcards"
    sys_version = ""

    def __init__(self, box: Box, *args: object) -> None:
        self._box = box
        super().__init__(*args)  # type: ignore[arg-type] # whatever the server class hands over

    def do_GET(self) -> None:
        """Show the page, or its style."""
        target = urlsplit(self.path)
        if target.path == "/":
            self._show(delivered=target.query == "delivered")
        elif target.path == "/style.css":
            self._respond(HTTPStatus.OK, "text/css; charset=utf-8", _STYLE)
        else:
            self._text(HTTPStatus.NOT_FOUND, "There is nothing here.")

    do_HEAD = do_GET  # noqa: N815 - http.server calls it so

    def do_POST(self) -> None:
        """Take the page's form, or a card from a peer."""
        routes = {"/send": self._send_card, "/peer/postcards": self._receive_card}
        take = routes.get(urlsplit(self.path).path)
        if take is None:
            self._text(HTTPStatus.NOT_FOUND, "There is nothing here.")
            return
        try:
            take(self._body())
        except RequestError as refused:
            self._text(refused.status, str(refused))

    def _receive_card(self, body: bytes) -> None:
        """Take a card from a peer. The proxy lets only peers in here (app.json) and says which."""
        caller = self.headers.get("X-Ptl-Client-Type", "")
        peer_id = self.headers.get("X-Ptl-Client-Id", "")
        name = unquote(self.headers.get("X-Ptl-Client-Name", ""))
        if caller != "peer" or not peer_id:
            raise RequestError(HTTPStatus.FORBIDDEN, "Only peers leave cards here.")
        try:
            content = json.loads(body)
            text = clean_text(content["text"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what = 'A card is JSON: {"text": "..."}, not empty, not too long.'
            raise RequestError(HTTPStatus.BAD_REQUEST, what) from error
        self._box.keep(Card("in", peer_id, name, text, int(time.time())))
        self.log_message(
            "a card came in; X-Ptl-Client-Type: %s; X-Ptl-Client-Name: %s; X-Ptl-Client-Id: %s",
            caller,
            name,
            peer_id,
        )
        self._respond(HTTPStatus.CREATED, "application/json", b'{"received": true}')

    def _send_card(self, body: bytes) -> None:
        """Take the page's form: private, so only the owner's devices get here (app.json).

        Their cookie counts on this app's own pages alone, which the proxy sees to. It is looked at
        here as well, for whoever lets the app stand elsewhere.
        """
        if not self._from_our_page():
            what = "Cards are written on this app's own page, not sent from another site."
            raise RequestError(HTTPStatus.FORBIDDEN, what)
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        to, text = form.get("to", [""])[0], form.get("text", [""])[0]
        try:
            text = clean_text(text)
            peer = _peer(to)
            post.send(peer, text)
        except ValueError as error:
            self._show(HTTPStatus.BAD_REQUEST, str(error), draft_to=to, draft_text=text)
        except post.DeliveryError as error:
            self._show(HTTPStatus.BAD_GATEWAY, str(error), draft_to=to, draft_text=text)
        else:
            self._box.keep(Card("out", peer.id, peer.name, text, int(time.time())))
            # 303: a reload of what comes next sends nothing again.
            self._respond(HTTPStatus.SEE_OTHER, "text/plain", b"", {"Location": "/?delivered"})

    def _from_our_page(self) -> bool:
        """Tell whether a browser sent the form from our own page: other sites could post it too."""
        context = self.headers.get("Sec-Fetch-Site")
        if context is not None:
            return context == "same-origin"
        origin, host = self.headers.get("Origin", ""), self.headers.get("Host", "")
        return origin in {f"http://{host}", f"https://{host}"}

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "Say how long the body is.")
        if len(length) > len(str(_BODY_LIMIT)) or int(length) > _BODY_LIMIT:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too long for a card.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise RequestError(HTTPStatus.BAD_REQUEST, "The body broke off.")
        return body

    def _show(
        self,
        status: HTTPStatus = HTTPStatus.OK,
        error: str = "",
        *,
        delivered: bool = False,
        draft_to: str = "",
        draft_text: str = "",
    ) -> None:
        owner, peers = "", list[post.Peer]()
        try:
            owner, peers = post.ask_owner_name(), post.ask_peers()
        except post.DeliveryError as failure:
            error = error or str(failure)
        received, sent = self._box.latest("in"), self._box.latest("out")
        view = View(owner, peers, received, sent, delivered, error, draft_to, draft_text)
        self._respond(status, "text/html; charset=utf-8", render(view).encode())

    def _text(self, status: HTTPStatus, what: str) -> None:
        self._respond(status, "text/plain; charset=utf-8", f"{what}\n".encode())

    def _respond(
        self,
        status: HTTPStatus,
        content_type: str,
        body: bytes,
        more: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        fields = {"Content-Type": content_type, "Content-Length": str(len(body))}
        for name, value in (fields | _ALWAYS | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _peer(portal_id: str) -> post.Peer:
    """Return the peer with this ID, if this app may know it; raises ``ValueError`` otherwise."""
    for peer in post.ask_peers():
        if peer.id == portal_id:
            return peer
    raise ValueError("This app may not know that Portal (any more). Choose another.")
