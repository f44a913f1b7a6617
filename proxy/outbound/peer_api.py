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
from proxy.core.errors import Code, Refusal
from proxy.core.http import problem
from proxy.core.identity import PublicKey
from proxy.outbound.reachability import Reachability
from proxy.portal import Portal
from proxy.transfer.starlette_errors import refuse

_WHAT_IS_HERE = (
    "Here are /protected/peers and /internal/call_peer/ID/. Where this is for a server of your "
    "own, have NO_PROXY name its host, or write 127.0.0.1 for localhost."
)


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
        exception_handlers={404: _refuse_path, HTTPException: refuse, Refusal: refuse},
    )
    service.router.redirect_slashes = False  # the list alone has two paths
    return service


async def _refuse_path(request: Request, _: Exception) -> Response:
    """Refuse a path that isn't here, and say what is.

    Where ``localhost`` isn't in an app's NO_PROXY, what it asks a server of its own there for
    comes here too: ``localhost`` is one of our names.
    """
    return await refuse(request, Refusal(Code.NOT_FOUND, "no such path", hint=_WHAT_IS_HERE))


def _pem(key: PublicKey | None) -> str | None:
    """Return the key as existing software has it under that name, which says otherwise: PEM."""
    return key.pem if key is not None else None


def _response(response: problem.Response) -> Response:
    return Response(response.body, response.status, media_type="application/json")
