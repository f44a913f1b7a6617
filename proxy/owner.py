"""The owner's listener: how the proxy is, for the owner alone.

Bound to loopback by default, and never to a network that a peer can reach. It answers only under
names of the machine itself, so that no web page can read it by pointing its own name here.
"""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy.core.errors import Problem
from proxy.portal import Portal


def owner_app(portal: Portal, problems: Callable[[], tuple[Problem, ...]]) -> Starlette:
    """Return the owner's app; ``problems`` tells what is wrong with the files just now."""

    async def health(_: Request) -> Response:
        found = [str(problem) for problem in problems()]
        members = {"status": "degraded" if found else "ok", "id": portal.id, "problems": found}
        return JSONResponse(members, headers={"cache-control": "no-store"})

    own_names = ["localhost", "127.0.0.1", "[::1]", portal.config.listen.owner.host]
    return Starlette(
        routes=[Route("/health", health)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=own_names, www_redirect=False)],
    )
