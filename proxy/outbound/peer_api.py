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
from proxy.core.access.policy import ANONYMOUS, Contact
from proxy.core.errors import Refusal
from proxy.core.http import problem
from proxy.core.identity import PublicKey
from proxy.outbound.reachability import Reachability
from proxy.portal import Portal
from proxy.transfer.starlette_errors import refuse


def peer_service(portal: Portal, reachability: Reachability) -> Starlette:
    """Return the service as an ASGI app."""

    async def as_members(contacts: tuple[Contact, ...]) -> list[dict[str, object]]:
        reachable = await reachability.of(contacts)
        return [
            {
                "id": peer.id,
                "name": peer.name,
                "public_bytes_b64": _pem(reachability.public_key(peer)),
                "is_reachable": reachable[peer.id],
            }
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
        return _response(portal_paths.whoareyou(portal))

    async def whoami(_: Request) -> Response:
        # Of devices that are paired, which an app is none of; which app asks is told to nobody.
        return _response(portal_paths.whoami(ANONYMOUS))

    async def health(_: Request) -> Response:
        return _response(portal_paths.health())

    service = Starlette(
        routes=[
            Route("/protected/peers", list_peers),
            Route("/protected/peers/", list_peers),
            Route("/protected/peers/{portal_id}", one_peer),
            Route("/public/meta/whoareyou", whoareyou),
            Route("/public/meta/whoami", whoami),
            Route("/public/health", health),
        ],
        exception_handlers={HTTPException: refuse, Refusal: refuse},
    )
    service.router.redirect_slashes = False  # the list alone has two paths
    return service


def _pem(key: PublicKey | None) -> str | None:
    """Return the key as existing software has it under that name, which says otherwise: PEM."""
    return key.pem if key is not None else None


def _response(response: problem.Response) -> Response:
    return Response(response.body, response.status, media_type="application/json")
