"""The peer management service: what an app may ask about its peers and its host.

The paths and members are those of the existing ecosystem, so that its apps run unchanged. The
calling app is in ``scope["portal.app"]``; ``proxy.outbound`` checked its token.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy import own_paths
from proxy.core.answers import refusal_answer
from proxy.core.errors import Code, Refusal
from proxy.core.policy import Contact
from proxy.directory import Directory
from proxy.portal import Portal


def peer_service(portal: Portal, directory: Directory) -> Starlette:
    """Return the service as an ASGI app."""

    async def as_members(contacts: tuple[Contact, ...]) -> list[dict[str, object]]:
        reachable = await directory.reachable(contacts)
        return [
            {"id": peer.id, "name": peer.name, "is_reachable": reachable[peer.id]}
            for peer in contacts
        ]

    async def list_peers(request: Request) -> Response:
        peers = portal.contacts.current.known_to(request.scope["portal.app"])
        wanted = request.query_params.get("name", "").casefold()
        matching = tuple(peer for peer in peers if wanted in peer.name.casefold())
        return JSONResponse(await as_members(matching))

    async def one_peer(request: Request) -> Response:
        app, portal_id = request.scope["portal.app"], request.path_params["portal_id"]
        peer = portal.contacts.current.resolve(app, portal_id)
        if peer is None:
            raise Refusal(Code.NO_SUCH_PEER, f"{app} asks for {portal_id[:110]!r}")
        return JSONResponse((await as_members((peer,)))[0])

    async def whoareyou(_: Request) -> Response:
        return Response(own_paths.whoareyou(portal).body, media_type="application/json")

    service = Starlette(
        routes=[
            Route("/protected/peers", list_peers),
            Route("/protected/peers/{portal_id}", one_peer),
            Route("/public/meta/whoareyou", whoareyou),
        ],
        exception_handlers={HTTPException: _refuse, Refusal: _refuse},
    )
    service.router.redirect_slashes = False  # an empty ID is no peer, not the way to the list
    return service


async def _refuse(_: Request, error: Exception) -> Response:
    """Answer Starlette's own errors in the one form that every refusal has."""
    if not isinstance(error, Refusal):
        status = error.status_code if isinstance(error, HTTPException) else 404
        code = {405: Code.METHOD_NOT_ALLOWED}.get(status, Code.NOT_FOUND)
        error = Refusal(code, "peer service")
    answer = refusal_answer(error)
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in answer.fields}
    return Response(answer.body, answer.status, headers)
