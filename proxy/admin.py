"""The owner's listener: how the proxy is, for the owner and the owner's monitoring alone.

Bound to loopback by default, and never to a network that a peer can reach. It answers only under
names of the machine itself, so that no web page can read it by pointing its own name here.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy import logging_setup as logs
from proxy.core.access.hosts import Hosts
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import values_of
from proxy.core.http.origin import Origin
from proxy.http.client.look import UpstreamLooks
from proxy.monitoring.exposition import CONTENT_TYPE
from proxy.portal import Portal
from proxy.transfer.access_log import line_of
from proxy.transfer.starlette_errors import refuse

_NOT_KEPT = {"cache-control": "no-store"}
_NOT_READY = 503


@dataclass(frozen=True)
class AboutAll:
    """All about the Portal, for the owner's commands alone."""

    token: bytes
    """What they show."""
    members: Callable[[], Awaitable[Mapping[str, object]]]


def owner_app(
    portal: Portal,
    not_well: Callable[[], tuple[str, ...]],
    waiting: Callable[[], Mapping[str, object]],
    exposition: Callable[[], Awaitable[bytes]],
    all_about: AboutAll | None = None,
) -> Starlette:
    """Return the owner's app.

    ``not_well`` tells all that is wrong just now, ``waiting`` which settings don't hold yet,
    ``exposition`` all numbers for Prometheus. No status depends on an app: apps may wait for ours.
    ``all_about`` is for who shows its token.
    """
    where = portal.config.listen.owner
    names = ("127.0.0.1", "[::1]", *([where.host] if where.host else []))
    looks = UpstreamLooks()
    own_names = Hosts(Origin("http", "localhost", where.port), ("localhost", *names))

    def begin(request: Request) -> None:
        """Refuse what isn't asked under our own names."""
        # Not request.url: for a Host that it can't read it takes our own address.
        host = b",".join(values_of(request.scope["headers"], b"host"))
        if own_names.locate(host) is not None:
            raise Refusal(Code.MISDIRECTED, "the owner's listener has no apps")
        line_of(request.scope).is_quiet = True  # who watches asks every few seconds

    def how_it_is() -> dict[str, object]:
        found = not_well()
        return {"status": "degraded" if found else "ok", "id": portal.id, "problems": list(found)}

    async def health(request: Request) -> Response:
        begin(request)
        upstreams = {name: app.upstream for name, app in sorted(portal.apps.items())}
        members = {
            **how_it_is(),
            "waiting": waiting(),
            "log": {"dropped": logs.dropped()},
            "tasks": len(asyncio.all_tasks()),
            "apps": await looks.findings(upstreams),
        }
        return JSONResponse(members, headers=_NOT_KEPT)

    async def livez(request: Request) -> Response:
        begin(request)
        return PlainTextResponse("ok\n", headers=_NOT_KEPT)

    async def readyz(request: Request) -> Response:
        begin(request)
        members = how_it_is()
        return JSONResponse(members, _NOT_READY if members["problems"] else 200, _NOT_KEPT)

    async def metrics(request: Request) -> Response:
        begin(request)
        return Response(await exposition(), headers={**_NOT_KEPT, "content-type": CONTENT_TYPE})

    async def status(request: Request) -> Response:
        begin(request)
        shown = b",".join(values_of(request.scope["headers"], b"portal-token"))
        # Any program of this machine may ask here, and not each may know who the contacts are.
        if all_about is None or not hmac.compare_digest(shown, all_about.token):
            raise HTTPException(404)
        return JSONResponse(await all_about.members(), headers=_NOT_KEPT)

    pages = {"/status": status, "/health": health}
    pages |= {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
    owner = Starlette(
        routes=[Route(path, page) for path, page in pages.items()],
        exception_handlers={HTTPException: refuse, Refusal: refuse},
    )
    owner.router.redirect_slashes = False
    return owner
