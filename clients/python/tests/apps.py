"""Apps that tests put behind Portals: they tell what they got."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from portal_peers import AsyncPortal, CallerUnclear, PortalError, caller, peers


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with the request, as JSON; ``/…/status/N`` sets the status."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    path = scope["raw_path"].decode("latin-1")
    status, fields = 200, [(b"content-type", b"application/json")]
    if "/status/" in path:
        status = int(path.rpartition("/")[2])
    if "/to/" in path:
        status, fields = 307, [(b"location", b"/" + scope["raw_path"].partition(b"/to/")[2])]
    who = caller(scope)
    told = {
        "method": scope["method"],
        "target": target.decode("latin-1"),
        "fields": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
        "caller": [who.type, who.id, who.name],
    }
    if "/problem" in path:
        status, told = 403, {"status": 403, "code": "not_allowed", "title": "Not by us."}
        fields = [(b"content-type", b"application/problem+json")]
    answer = json.dumps(told).encode()
    if path.endswith("/peers"):
        async with AsyncPortal() as portal:
            names = [peer.name for peer in await portal.peers()]
        answer = json.dumps(names).encode()
    await send({"type": "http.response.start", "status": status, "headers": fields})
    pieces = [b"a" * 1000] * 50 if path.endswith("/many") else [answer]
    if path.endswith("/broken"):
        await send({"type": "http.response.body", "body": b"a" * 1000, "more_body": True})
        await asyncio.sleep(0.1)
        raise asyncio.CancelledError
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _live(receive: Any, send: Any) -> None:
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


def echo_in_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with who calls, and whom the app may call."""
    try:
        who = caller(environ)
    except (CallerUnclear, PortalError) as error:
        start_response("500 Oh", [])
        return [str(error).encode()]
    told = {"caller": [who.type, who.id, who.name], "peers": [peer.name for peer in peers()]}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
