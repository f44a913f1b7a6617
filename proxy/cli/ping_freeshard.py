"""What else is at an address that has no identity document: a Freeshard, or a Portal half hidden.

Freeshards come from the same beginnings as Portals and answer ``whoareyou`` in the same form, but
their keys are RSA's, and they neither open nor sign calls as Portals do. Nobody vouches for what
is read here, so it is only told to the owner.
"""

import asyncio

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from proxy.core.errors import Invalid
from proxy.core.http.headers import Field
from proxy.core.text_files.strict_json import parse_json
from proxy.http.upstream import (
    Destination,
    Upstream,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamTimeouts,
)
from proxy.portal_paths import WHOAREYOU

FREESHARD = "It is a Freeshard, which can't be called."
AND_THEN = "Its owner needs a Portal of their own; its card says where that is."
HIDDEN = (
    "A Portal seems to be there all the same: something before it answers what is below "
    "/.well-known/ by itself."
)
AND_FORWARD = (
    "The web server before it must pass /.well-known/ on, too; certificates' challenges need no "
    "more than /.well-known/acme-challenge/."
)
_LONGEST = 65_536
_OK = 200


async def who_else(upstream: Upstream, to: Destination, patience: float) -> tuple[str, str]:
    """Return what is at ``to`` instead of a Portal that can be called, and what to do; or ""."""
    try:
        async with asyncio.timeout(patience):
            try:
                body = await _ask(upstream, to, patience)
            except UpstreamFailed:
                # A server that closes behind its responses without saying so loses what comes next.
                body = await _ask(upstream, to, patience)
        found = parse_json("whoareyou", body)
    except (UpstreamFailed, TimeoutError, Invalid):
        return "", ""
    members = found if isinstance(found, dict) else {}
    pem = members.get("public_key_pem")
    if not isinstance(pem, str) or not isinstance(members.get("id"), str):
        return "", ""
    try:
        key = load_pem_public_key(pem.encode("utf-8", "replace"))
    except (ValueError, UnsupportedAlgorithm):
        return "", ""
    if isinstance(key, RSAPublicKey):
        return FREESHARD, AND_THEN
    return (HIDDEN, AND_FORWARD) if isinstance(key, Ed25519PublicKey) else ("", "")


async def _ask(upstream: Upstream, to: Destination, patience: float) -> bytes:
    host: Field = (b"host", to.origin.authority.encode("ascii"))
    accept: Field = (b"accept", b"application/json")
    timeouts = UpstreamTimeouts(patience, patience, patience)
    request = UpstreamRequest(to, b"GET", WHOAREYOU, (host, accept), None, timeouts)
    async with upstream.send(request) as response:
        body = b""
        async for piece in response.pieces():
            body += piece
            if len(body) > _LONGEST:
                raise UpstreamFailed("too long")
    return body if response.status == _OK else b""
