"""What the Portal itself answers on its public host: who it is, and nothing else.

Everything here may be read by a stranger, and nothing is fetched for one.
"""

import hashlib
import json

from proxy.core.answers import Answer
from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import content_digest
from proxy.core.signature.document import PATH, document_body, sign_document
from proxy.core.target import Target
from proxy.portal import Portal

WHOAREYOU = b"/core/public/meta/whoareyou"


def answer(portal: Portal, method: bytes, target: Target) -> Answer:
    """Answer a request for the Portal itself; raises ``Refusal``."""
    pages = {PATH: identity_document, WHOAREYOU: whoareyou}
    page = pages.get(target.path)
    if page is None:
        raise Refusal(Code.NOT_FOUND, f"the Portal has no {target.path[:200]!r}")
    if method not in (b"GET", b"HEAD"):
        raise Refusal(Code.METHOD_NOT_ALLOWED, f"{method[:40]!r} {target.path!r}")
    return page(portal)


def identity_document(portal: Portal) -> Answer:
    """Return the signed identity document (docs/protocol.md, section 2)."""
    body = document_body(
        portal.key, portal.config.name, portal.hosts.origin.host, tuple(sorted(portal.modes))
    )
    digest = content_digest(hashlib.sha256(body).digest())
    return Answer(200, sign_document(portal.key, digest, now=int(portal.clock())), body)


def whoareyou(portal: Portal) -> Answer:
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
    body = json.dumps(members, ensure_ascii=False).encode("utf-8")
    return Answer(200, ((b"content-type", b"application/json"),), body)
