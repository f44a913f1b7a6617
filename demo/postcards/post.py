"""The post: what this app asks of the Portal that it runs on.

Plain HTTP to ``portal_core``, through the proxy that ``HTTP_PROXY`` names
(``http://postcards:TOKEN@host:port``; ``urllib`` reads it by itself). Whom the app may know, who it
is, and that a card arrives at the right Portal are the Portal's business, not the app's.
"""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_CORE = "http://portal_core"
_PATIENCE = 20.0
"""Seconds to wait for a response."""
_ANSWER_LIMIT = 1 << 20

_REASONS = {
    "no_such_peer": "This app may not know {name} (any more). This Portal's owner decides that.",
    "not_allowed": "{name} takes no cards from you: ask {name} to add your Portal for this app.",
    "no_such_app": "{name} has no postcard box.",
    "peer_unreachable": "{name}'s Portal can't be reached just now. Nothing was sent; try later.",
    "peer_untrusted": "Somebody else than {name} answered. Nothing was shown to you; try later.",
    "peer_timeout": "{name}'s Portal took too long. The card perhaps arrived: ask first.",
    "outcome_unknown": "The card perhaps arrived at {name}'s: ask before you send it again.",
    "token_required": "This app isn't set up: its Portal asks for the app's token.",
    "token_unknown": "This app isn't set up: its Portal doesn't know the app's token.",
}


class DeliveryError(Exception):
    """The Portal or the other side didn't do what was asked; the text is for the person."""


@dataclass(frozen=True)
class Peer:
    """Another Portal that this app may know."""

    id: str
    name: str


def ask_peers() -> list[Peer]:
    """Return the peers that this app may know; raises ``DeliveryError``."""
    listing = _call("GET", "/protected/peers", "your Portal")
    try:
        return [Peer(row["id"], row["name"]) for row in listing]
    except (TypeError, KeyError) as error:
        what = "Your own Portal gave a list of peers that can't be read."
        raise DeliveryError(what) from error


def ask_owner_name() -> str:
    """Return the name of the Portal that this app runs on; raises ``DeliveryError``."""
    portal = _call("GET", "/public/meta/whoareyou", "your Portal")
    return str(portal.get("name", "")) if isinstance(portal, dict) else ""


def send(peer: Peer, text: str) -> None:
    """Deliver ``text`` to the postcard box of ``peer``; raises ``DeliveryError``."""
    path = f"/internal/call_peer/{quote(peer.id, safe='')}/peer/postcards"
    _call("POST", path, peer.name, {"text": text})


def _call(method: str, path: str, name: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
    request = urllib.request.Request(_CORE + path, method=method)  # noqa: S310 - http: by _CORE
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:  # noqa: S310 - as above
            return json.loads(response.read(_ANSWER_LIMIT))
    except urllib.error.HTTPError as error:
        raise DeliveryError(_reason(error, name)) from error
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError("Your own Portal can't be reached just now. Try later.") from error
    except ValueError as error:
        raise DeliveryError(f"The response of {name} can't be read.") from error


def _reason(error: urllib.error.HTTPError, name: str) -> str:
    """Say what an error response means: by the ``code`` of its problem document (RFC 9457)."""
    with error:
        try:
            problem = json.loads(error.read(_ANSWER_LIMIT))
        except (OSError, ValueError, http.client.HTTPException):
            problem = None
    code = problem.get("code") if isinstance(problem, dict) else None
    reason = _REASONS.get(code) if isinstance(code, str) else None
    return (reason or "{name} didn't take it (status {status}).").format(
        name=name, status=error.code
    )
