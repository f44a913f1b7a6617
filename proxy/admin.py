"""The owner's listener: how the proxy is, for the owner alone.

Bound to loopback by default, and never to a network that a peer can reach. It answers only under
names of the machine itself, so that no web page can read it by pointing its own name here.
"""

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy import logging_setup as logs
from proxy.core.access.hosts import Hosts
from proxy.core.errors import Code, Problem, Refusal
from proxy.core.http.headers import values_of
from proxy.core.http.origin import Origin
from proxy.http.client.look import UpstreamLooks
from proxy.portal import Portal
from proxy.transfer.access_log import line_of
from proxy.transfer.starlette_errors import refuse


def owner_app(portal: Portal, problems: Callable[[], tuple[Problem, ...]]) -> Starlette:
    """Return the owner's app; ``problems`` tells what is wrong with the files just now."""
    where = portal.config.listen.owner
    names = ("127.0.0.1", "[::1]", *([where.host] if where.host else []))
    looks = UpstreamLooks()
    own_names = Hosts(Origin("http", "localhost", where.port), ("localhost", *names))

    async def health(request: Request) -> Response:
        # Not request.url: for a Host that it can't read it takes our own address.
        host = b",".join(values_of(request.scope["headers"], b"host"))
        if own_names.locate(host) is not None:
            raise Refusal(Code.MISDIRECTED, "the owner's listener has no apps")
        line_of(request.scope).is_quiet = True  # health checks ask every few seconds
        found = [str(problem) for problem in problems()]
        if stands_still := logs.problem():
            found.append(f"log: {stands_still}")
        upstreams = {name: app.upstream for name, app in sorted(portal.apps.items())}
        members = {
            "status": "degraded" if found else "ok",
            "id": portal.id,
            "problems": found,
            "log": {"dropped": logs.dropped()},
            "tasks": len(asyncio.all_tasks()),
            # For the owner to see. No status depends on it: apps may wait for ours.
            "apps": await looks.findings(upstreams),
        }
        return JSONResponse(members, headers={"cache-control": "no-store"})

    owner = Starlette(
        routes=[Route("/health", health)],
        exception_handlers={HTTPException: refuse, Refusal: refuse},
    )
    owner.router.redirect_slashes = False
    return owner
