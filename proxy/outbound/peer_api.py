"""The peer management service: what an app may ask about its peers and its host.

The paths and members are those of the existing ecosystem, so that its apps run unchanged. The
calling app is in ``scope["portal.app"]``; ``proxy.outbound.relay`` has its token checked.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy import portal_paths
from proxy.core.access.policy import Contact
from proxy.core.errors import Refusal
from proxy.outbound.reachability import Reachability
from proxy.portal import Portal
from proxy.transfer.starlette_errors import refuse


def peer_service(portal: Portal, reachability: Reachability) -> Starlette:
    """Return the service as an ASGI app."""

    async def as_members(contacts: tuple[Contact, ...]) -> list[dict[str, object]]:
        reachable = await reachability.of(contacts)
        return [
            {"id": peer.id, "name": peer.name, "is_reachable": reachable[peer.id]}
            for peer in contacts
        ]

    async def list_peers(request: Request) -> Response:
        peers = portal.contact_list().known_to(request.scope["portal.app"])
        wanted = request.query_params.get("name", "").casefold()
        matching = tuple(peer for peer in peers if wanted in peer.name.casefold())
        return JSONResponse(await as_members(matching))

    async def one_peer(request: Request) -> Response:
        app, portal_id = request.scope["portal.app"], request.path_params["portal_id"]
        return JSONResponse((await as_members((portal.peer(app, portal_id),)))[0])

    async def whoareyou(_: Request) -> Response:
        return Response(portal_paths.whoareyou(portal).body, media_type="application/json")

    service = Starlette(
        routes=[
            Route("/protected/peers", list_peers),
            Route("/protected/peers/{portal_id}", one_peer),
            Route("/public/meta/whoareyou", whoareyou),
        ],
        exception_handlers={HTTPException: refuse, Refusal: refuse},
    )
    service.router.redirect_slashes = False  # an empty ID is no peer, not the way to the list
    return service
