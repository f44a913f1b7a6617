"""What a call between two Freeshards costs, as its code does it, without all that is around it.

``python -m bench.servers.freeshard PORT caller KEYS MANNER UPSTREAM``: takes an app's call, signs
it with requests-http-signature (RSA-PSS, 4096 bits) and sends it with requests, in a thread.
``python -m bench.servers.freeshard PORT auth KEYS MANNER``: is asked by the web server before the
app whether the signature is good.

MANNER is ``written``: the keys are read from their PEM at each call, each call has a connection of
its own, and the answer is passed on byte by byte; or ``cached``: the same, with the keys read once;
or ``tuned``: also with connections kept, and the answer passed on whole. All of them leave out the
framework, the database that has the keys, the templates and the look-up of the calling app, and
take nginx for Traefik: what is left out would only make the chain dearer.
"""

import asyncio
import sys
from pathlib import Path

import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from http_message_signatures import HTTPSignatureKeyResolver, InvalidSignature, algorithms
from requests.adapters import HTTPAdapter
from requests_http_signature import HTTPSignatureAuth
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bench.endpoint import LOOPBACK
from bench.servers.uvicorn_server import run

_ALGORITHM = algorithms.RSA_PSS_SHA512
_KEY_ID = "abc123"
_CONNECTIONS = 64


class Keys(HTTPSignatureKeyResolver):
    """The one key there is: as its PEM, or read once."""

    def __init__(self, folder: Path, *, is_cached: bool) -> None:
        private = (folder / "private.pem").read_bytes()
        public = (folder / "public.pem").read_bytes()
        self._private = load_pem_private_key(private, None) if is_cached else private
        self._public = load_pem_public_key(public) if is_cached else public

    def resolve_private_key(self, _key_id: str) -> object:
        return self._private

    def resolve_public_key(self, _key_id: str) -> object:
        return self._public


class Caller:
    """The first hop."""

    def __init__(self, keys: Keys, upstream: int, *, is_tuned: bool) -> None:
        self._keys = keys
        self._base = f"http://{LOOPBACK}:{upstream}/"
        self._session = requests.Session() if is_tuned else None
        if self._session is not None:
            self._session.mount("http://", HTTPAdapter(pool_maxsize=_CONNECTIONS))

    async def __call__(self, request: Request) -> Response:
        """Carry one call out."""
        body = await request.body()
        url = self._base + request.path_params["path"]
        answer = await asyncio.to_thread(self._send, request.method, url, body)
        if self._session is None:
            return StreamingResponse(answer.iter_content(), answer.status_code)
        return Response(answer.content, answer.status_code)

    def _send(self, method: str, url: str, body: bytes) -> requests.Response:
        auth = HTTPSignatureAuth(
            signature_algorithm=_ALGORITHM, key_id=_KEY_ID, key_resolver=self._keys
        )
        send = requests.request if self._session is None else self._session.request
        return send(method, url, auth=auth, data=body)


class Judge:
    """The second hop, beside the web server that asks it."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def __call__(self, request: Request) -> Response:
        """Tell whether a request is signed by the peer."""
        about = request.headers
        url = (
            f"{about['x-forwarded-proto']}://{about['x-forwarded-host']}{about['x-forwarded-uri']}"
        )
        asked = requests.Request(
            about["x-forwarded-method"], url, headers=dict(about), data=await request.body()
        ).prepare()
        try:
            HTTPSignatureAuth.verify(asked, signature_algorithm=_ALGORITHM, key_resolver=self._keys)
        except InvalidSignature:
            return Response(status_code=401)
        return Response(status_code=200)


if __name__ == "__main__":
    port, _role, folder, manner, *upstream = sys.argv[1:]
    keys = Keys(Path(folder), is_cached=manner != "written")
    caller = Caller(keys, int(upstream[0]), is_tuned=manner == "tuned") if upstream else None
    hop = caller or Judge(keys)
    routes = [Route("/{path:path}", hop.__call__, methods=["GET", "POST"])]
    run(Starlette(routes=routes), int(port))
