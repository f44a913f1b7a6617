"""What the Portal itself answers on its public host: who it is, and how to seal a call to it.

Everything here may be read by a stranger, and nothing is fetched for one. No cache keeps it: who
asks again wants to know what holds now, as a peer does whose sealing key isn't known any more.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from proxy.core.access.policy import Caller
from proxy.core.access.target import Target
from proxy.core.errors import Code, Refusal
from proxy.core.http.caching import NO_STORE
from proxy.core.http.headers import Fields, values_of
from proxy.core.http.problem import Response
from proxy.core.identity_document import PATH, document_body, sign_document
from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.core.sealing.envelope import GATEWAY, KEY_LIST
from proxy.core.sealing.key_config import key_list
from proxy.core.signature.digest import content_digest
from proxy.portal import Portal

WHOAREYOU = b"/core/public/meta/whoareyou"
WHOAMI = b"/core/public/meta/whoami"
HEALTH = b"/core/public/health"
LONGEST_WAIT = 75
"""Seconds for which a peer may have us wait. Web servers that give up silent responses do so after
60 s by default; it is less than the 105 s for which Portals wait."""
_WAIT = re.compile(rb"wait=([0-9]{1,4})")


def response_for(portal: Portal, method: bytes, target: Target, caller: Caller) -> Response:
    """Answer a request of ``caller`` for the Portal itself; raises ``Refusal``."""
    pages: dict[bytes, Callable[[Portal], Response]] = {
        PATH: identity_document,
        WHOAREYOU: whoareyou,
        WHOAMI: lambda _: whoami(caller),
        HEALTH: lambda _: health(),
        GATEWAY: sealing_keys,
    }
    page = pages.get(target.path)
    if page is None:
        raise Refusal(Code.NOT_FOUND, f"the Portal has no {target.path[:200]!r}")
    if method not in (b"GET", b"HEAD"):
        allow = "GET, HEAD, POST" if target.path == GATEWAY else "GET, HEAD"
        raise Refusal(Code.METHOD_NOT_ALLOWED, f"{method[:40]!r} {target.path!r}", allow=allow)
    response = page(portal)
    return replace(response, fields=(*response.fields, NO_STORE))


def wait_asked(fields: Fields) -> int:
    """Return for how many seconds a peer asks us to be silent first (``Prefer``, RFC 7240).

    So it finds out whether whoever stands between bears a silence.
    """
    match = _WAIT.fullmatch(b",".join(values_of(fields, b"prefer")))
    return min(int(match[1]), LONGEST_WAIT) if match else 0


def identity_document(portal: Portal) -> Response:
    """Return the signed identity document (docs/protocol.md, section 2)."""
    now = portal.clock()
    body = document_body(
        portal.key,
        portal.config.name,
        portal.hosts.origin.host,
        tuple(sorted(portal.modes)),
        portal.sealing.published(now),
        LARGEST_CHUNK,
        portal.replays.told(now),
    )
    digest = content_digest(hashlib.sha256(body).digest())
    return Response(200, sign_document(portal.key, digest, now=int(now)), body)


def sealing_keys(portal: Portal) -> Response:
    """Return the keys as any client of Oblivious HTTP looks for them (RFC 9540).

    Nobody signed this list: Portals take keys from each other's identity documents alone. Raises
    ``Refusal`` where there is none.
    """
    offers = portal.sealing.published(portal.clock())
    if not offers:
        raise Refusal(Code.NOT_FOUND, "no sealing key is offered")
    body = key_list(config for config, _ in offers)
    return Response(200, ((b"content-type", KEY_LIST),), body)


def whoareyou(portal: Portal) -> Response:
    """Return the facts about this Portal in the existing ecosystem's form; nobody trusts them."""
    members = {
        "id": portal.id,
        "name": portal.config.name,
        "email": None,
        "description": None,
        "is_default": True,
        "public_key_pem": portal.key.public.pem,
        "domain": portal.hosts.origin.host,
    }
    return _json(members)


def whoami(caller: Caller) -> Response:
    """Tell ``caller`` who it is here, in the existing ecosystem's form.

    A device hears its name. A peer hears none: what the owner calls it is the owner's business.
    """
    is_terminal = caller.type == "terminal"
    members = {
        "type": caller.type,
        "id": caller.id or None,
        "name": caller.name if is_terminal else None,
    }
    return _json(members)


def health() -> Response:
    """Tell that the Portal is there, in the existing ecosystem's form.

    How it is, the owner hears at the owner's listener: a stranger learns no more than from any
    other response.
    """
    return _json({"status": "ok"})


def _json(members: Mapping[str, object]) -> Response:
    body = json.dumps(members, ensure_ascii=False).encode("utf-8")
    return Response(200, ((b"content-type", b"application/json"),), body)
