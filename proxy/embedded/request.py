"""A request as another server tells of it, made into the one that our own listener would tell of.

What that server's reading of the bytes has lost can't be had back (docs/middleware.md). What it
left in that our own reader refuses, is refused here; where it can't tell what was asked for, nobody
guesses.
Source: the ASGI specification; RFC 9112, sections 5 and 6; RFC 9113, section 8.2.3.
"""

import asyncio
from typing import cast
from urllib.parse import unquote

from starlette.types import Message, Receive, Scope

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, values_of
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.http1.grammar import MAX_FIELDS, MAX_HEAD
from proxy.http.scope import TARGET, UPGRADE
from proxy.transfer.body import BODY_WAIT

LATER = ("2", "3")
"""The versions of HTTP in which framing and connections are the server's business alone."""

_OURS = ("1.0", "1.1")
_LINE = len(b": \r\n")


def as_ours(scope: Scope) -> Scope:
    """Return the scope of a request as our own listener has it; raises ``Refusal``.

    Of HTTP/2 and HTTP/3 it is the request of HTTP/1.1 that it amounts to, but for its body's
    framing, which ``framed`` finds out.
    """
    target = _target(scope)
    fields = [(bytes(n).lower(), bytes(v).strip(b" \t")) for n, v in scope["headers"]]
    size = len(target) + sum(len(name) + len(value) + _LINE for name, value in fields)
    if len(fields) > MAX_FIELDS or size > MAX_HEAD:
        raise Refusal(Code.HEAD_TOO_LARGE, f"{len(fields)} fields, {size} bytes")
    version = scope["http_version"]
    if version in LATER:
        version, fields = "1.1", _with_one_cookie(fields)
    elif version not in _OURS:
        raise Refusal(Code.VERSION_UNSUPPORTED, version)
    _refuse_ambiguous_framing(fields, version)
    return {
        **scope,
        "http_version": version,
        "headers": fields,
        "extensions": {name: {} for name in (UPGRADE,) if name in scope.get("extensions", ())},
        "state": {**scope.get("state", {}), TARGET: target},
    }


async def framed(scope: Scope, receive: Receive, version: str) -> tuple[Scope, Receive]:
    """Return a request with the framing of its body, if it has one, and its ``receive``.

    ``version`` is that of HTTP in which it came. Beyond HTTP/1.1 only the end of a request tells
    whether there was a body; what is received here is received again.
    """
    fields = scope["headers"]
    if version in _OURS or values_of(fields, b"content-length"):
        return scope, receive
    first: Message | None = None
    try:
        async with asyncio.timeout(BODY_WAIT):
            first = await receive()
    except TimeoutError:
        has_body = True
    else:
        has_body = bool(first.get("body") or first.get("more_body"))

    async def again() -> Message:
        nonlocal first
        if first is not None:
            message, first = first, None
            return message
        return await receive()

    return ({**scope, "headers": [*fields, IN_CHUNKS]} if has_body else scope), again


def _target(scope: Scope) -> bytes:
    """Return the target as on the wire, as far as ASGI can tell; raises ``Refusal``.

    It can't tell ``/x?`` from ``/x``.
    """
    if scope.get("root_path"):
        what = (
            "root_path is set: a Portal's apps have hosts of their own, and no path before theirs"
        )
        raise Refusal(Code.INTERNAL, what)
    raw = scope.get("raw_path")
    if not raw:
        raise Refusal(Code.INTERNAL, "this server tells no raw_path, so no path can be judged")
    path = cast(bytes, raw)
    if path.isascii() and scope["path"] != unquote(path.decode("ascii")):
        raise Refusal(
            Code.INTERNAL, "path isn't what raw_path says: something before us changed it"
        )
    query = cast(bytes, scope.get("query_string", b""))
    return path + b"?" + query if query else path


def _with_one_cookie(fields: list[Field]) -> list[Field]:
    """Join the crumbs in which HTTP/2 sends cookies: to an app of HTTP/1.1 they are one field."""
    crumbs = values_of(fields, b"cookie")
    if len(crumbs) < 2:  # noqa: PLR2004 - one is whole
        return fields
    return [*(pair for pair in fields if pair[0] != b"cookie"), (b"cookie", b"; ".join(crumbs))]


def _refuse_ambiguous_framing(fields: list[Field], version: str) -> None:
    """Refuse a body whose end two readers could see in two places; some servers let it pass."""
    lengths = values_of(fields, b"content-length")
    codings = [value.lower() for value in values_of(fields, b"transfer-encoding")]
    if len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
        raise Refusal(Code.BAD_REQUEST, "Content-Length isn't one number")
    if codings and (lengths or codings != [b"chunked"] or version == "1.0"):
        raise Refusal(Code.BAD_REQUEST, "Transfer-Encoding isn't chunked alone")
