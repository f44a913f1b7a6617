"""The owner's listener: how the proxy is, for the owner alone.

Bound to loopback by default, and never to a network that a peer can reach. It answers only under
names of the machine itself, so that no web page can read it by pointing its own name here.
"""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy.core.errors import Code, Problem, Refusal
from proxy.portal import Portal
from proxy.refusals import refuse


def owner_app(portal: Portal, problems: Callable[[], tuple[Problem, ...]]) -> Starlette:
    """Return the owner's app; ``problems`` tells what is wrong with the files just now."""
    own_names = {"localhost", "127.0.0.1", "::1", portal.config.listen.owner.host.strip("[]")}

    async def health(request: Request) -> Response:
        if request.url.hostname not in own_names:
            raise Refusal(Code.MISDIRECTED, "the owner's listener under a foreign name")
        found = [str(problem) for problem in problems()]
        members = {"status": "degraded" if found else "ok", "id": portal.id, "problems": found}
        return JSONResponse(members, headers={"cache-control": "no-store"})

    owner = Starlette(
        routes=[Route("/health", health)],
        exception_handlers={HTTPException: refuse, Refusal: refuse},
    )
    owner.router.redirect_slashes = False
    return owner
