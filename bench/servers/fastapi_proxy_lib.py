"""fastapi-proxy-lib behind uvicorn: ``python -m bench.servers.fastapi_proxy_lib PORT UPSTREAM``.

On a bare Starlette route, which is cheaper than FastAPI's.
"""

import sys

import httpx
from fastapi_proxy_lib.core.http import ReverseHttpProxy
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.endpoint import LOOPBACK
from bench.servers.uvicorn_server import run

if __name__ == "__main__":
    client = httpx.AsyncClient(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=512), timeout=60
    )
    proxy = ReverseHttpProxy(client, base_url=f"http://{LOOPBACK}:{sys.argv[2]}/")

    async def hop(request: Request) -> Response:
        response: Response = await proxy.proxy(request=request, path=request.path_params["path"])
        return response

    run(Starlette(routes=[Route("/{path:path}", hop, methods=["GET", "POST"])]), int(sys.argv[1]))
