"""A bare ASGI app that answers with its scope."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_KEYS = ("method", "path", "root_path", "scheme", "server", "query_string", "raw_path")


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    facts = {"page": "private" if path.startswith("/private/") else "other", "body": repr(body)}
    facts |= {key: repr(scope.get(key)) for key in _KEYS}
    if path == "/public/fields":
        facts["fields"] = repr([name for name, _ in scope["headers"]])
    facts["host"] = repr([value for name, value in scope["headers"] if name == b"host"])
    facts["from"] = repr(scope["client"] and scope["client"][0])
    said = json.dumps(facts).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})
