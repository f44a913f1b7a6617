"""What a refusal looks like to the one who is refused (RFC 9457), as bytes.

Machines get ``application/problem+json`` with a stable ``code``; a browser that asks for a page
gets a small one. The private detail is in neither.
"""

import html
import json
import re
from typing import NamedTuple

from proxy.core.epoch import Epoch, read_epoch
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import REQUEST_ID, Field, Fields, values_of
from proxy.core.record import record

PROBLEM = b"application/problem+json"
KEY_PROBLEM = "https://iana.org/assignments/http-problem-types#ohttp-key"
"""The problem type by which a client knows that its key configuration is out of date (RFC 9458)."""
REFUSAL_FIELD = b"portal-refusal"
"""Marks a response as the proxy's own: those of apps never carry it.

A Token, the code; with ``;now=`` where the refusal tells our time, and ``;epoch=;memory=`` where it
tells those, since HEAD gets no body.
"""
PEER_REFUSAL_FIELD = b"portal-peer-refusal"
"""Tells a calling app that the peer's proxy refused its call, and why: the code alone.

Else it couldn't be told from what the peer's app answers in the same words. It is said of a proven
refusal alone, by the proxy that the app asks: no peer's response can carry it.
"""

WEBSOCKET_VERSION = b"13"
"""The one version of WebSockets there is (RFC 6455); whoever asks for another is told of it."""
RETRY_AFTER = 5
"""Seconds after which one who came when all places were taken may try again."""
_FULL = frozenset({Code.TOO_MANY_REQUESTS, Code.APP_BUSY, Code.TOO_MANY_CONNECTIONS})

_MARK = re.compile(
    rb"([a-z_]{1,64})(?:;now=([0-9]{1,15})(?:;epoch=:([A-Za-z0-9+/=]{24}):;memory=([0-9]{1,15}))?)?"
)
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui;max-width:32rem;margin:15vh auto;padding:0 1rem}}</style>
<h1>{title}</h1><p>The Portal refused this request: <code>{code}</code>, {status}.</p>{hint}</html>
"""
_UNNAMED = (
    "Your browser doesn't say which page sent this, so another site may have sent it. Go back, "
    "load the page again, and send it again. If that doesn't help, an add-on or a setting of the "
    "browser hides where requests come from. Where the address doesn't begin with https, the "
    "page's own Referrer-Policy may hide it too."
)
_FOREIGN = "Open the page at this address by itself, and send the form from there."


@record(frozen=True, slots=True)
class Response:
    """A whole response, small enough to hold."""

    status: int
    fields: tuple[Field, ...]
    body: bytes


class RefusalMark(NamedTuple):
    """What a proxy's refusal says in its head."""

    code: str = ""
    """Why; "": the app answered."""
    now: int | None = None
    """The time there."""
    epoch: bytes | None = None
    """The epoch to sign under."""
    memory: int | None = None
    """Milliseconds for which the replay store there has kept every claim."""


def refusal_response(
    refusal: Refusal, *, page: bool = False, request_id: str = "", hint: str = ""
) -> Response:
    """Return the response that tells of ``refusal``; ``page`` asks for HTML, with ``hint`` on it.

    By ``request_id`` its owner finds it in the log; "" tells none.
    """
    code = refusal.code
    members = _members(refusal)
    mark = code.public
    if refusal.now is not None:
        told, parameters = _told(refusal.now, refusal.epoch)
        members |= told
        mark += parameters
    fields = [(REFUSAL_FIELD, mark.encode("ascii")), (b"cache-control", b"no-store")]
    if request_id:
        fields.append((REQUEST_ID, request_id.encode("ascii")))
    if code.status == 401:  # noqa: PLR2004 - RFC 9110, 15.5.2 wants a challenge
        fields.append((b"www-authenticate", refusal.challenge))
    elif code.status == 407:  # noqa: PLR2004 - RFC 9110, 15.5.8
        fields.append((b"proxy-authenticate", b'Basic realm="portal"'))
    elif code is Code.METHOD_NOT_ALLOWED:
        fields.append((b"allow", refusal.allow.encode("ascii")))
    elif code is Code.WEBSOCKET_VERSION:
        # RFC 6455, section 4.4, and RFC 9110, section 15.5.22.
        fields += [(b"sec-websocket-version", WEBSOCKET_VERSION), (b"upgrade", b"websocket")]
    elif code in _FULL:
        fields.append((b"retry-after", b"%d" % RETRY_AFTER))
    if refusal.retry_after is not None:
        fields.append((b"retry-after", b"%d" % refusal.retry_after))
    if page:
        body = _PAGE.format(
            title=html.escape(code.title),
            code=code.public,
            status=code.status,
            hint=f"<p>{html.escape(hint)}</p>" if hint else "",
        ).encode("utf-8")
        fields.append((b"content-type", b"text/html; charset=utf-8"))
        # Else a form that follows could come with "Origin: null", as from anybody's page.
        fields.append((b"referrer-policy", b"same-origin"))
        fields.append(
            (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
        )
    else:
        body = json.dumps(members).encode("ascii")
        fields.append((b"content-type", PROBLEM))
    return Response(code.status, tuple(fields), body)


def _members(refusal: Refusal) -> dict[str, object]:
    code = refusal.code
    members: dict[str, object] = {
        "type": KEY_PROBLEM if code is Code.SEALING_KEY_UNKNOWN else "about:blank",
        "title": code.title,
        "status": code.status,
        "code": code.public,
    }
    return members | {"detail": refusal.hint} if refusal.hint else members


def _told(now: int, epoch: Epoch | None) -> tuple[dict[str, object], str]:
    """Return what a sender is to sign with, as members and as parameters of the mark."""
    if epoch is None:
        return {"now": now}, f";now={now}"
    parameters = f";now={now};epoch=:{epoch.text}:;memory={epoch.memory}"
    return {"now": now, "epoch": epoch.text, "memory": epoch.memory}, parameters


def hint_for(refusal: Refusal, fields: Fields) -> str:
    """Say what a person can do whose request was refused, for the page that sent it, say.

    "" is nothing.
    """
    if refusal.hint:
        return refusal.hint
    if refusal.code not in (Code.FOREIGN_PAGE, Code.PROOF_REQUIRED):
        return ""
    if values_of(fields, b"origin") == [b"null"]:
        return _UNNAMED
    return _FOREIGN if refusal.code is Code.FOREIGN_PAGE else ""


def refusal_mark(fields: Fields) -> RefusalMark:
    """Return what ``portal-refusal`` tells; no code without it."""
    match = _MARK.fullmatch(b",".join(values_of(fields, REFUSAL_FIELD)))
    if match is None:
        return RefusalMark()
    code, now = match[1].decode("ascii"), int(match[2]) if match[2] else None
    try:
        epoch = read_epoch(match[3].decode("ascii")) if match[3] else None
    except ValueError:
        return RefusalMark(code, now)
    return RefusalMark(code, now, epoch, int(match[4]) if match[4] else None)


def wants_page(method: bytes, fields: Fields) -> bool:
    """Tell whether a browser navigates: it asks for HTML by name, which programs don't."""
    return method in (b"GET", b"HEAD", b"POST") and any(
        b"text/html" in value for value in values_of(fields, b"accept")
    )
