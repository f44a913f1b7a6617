"""What a refusal looks like to who asked, and how a response of our own is signed."""

import hashlib
from dataclasses import replace

from proxy.core.errors import Refusal
from proxy.core.gate import Request, Unpaired
from proxy.core.http.headers import response_for_travel
from proxy.core.http.problem import Response, hint_for, refusal_response, wants_page
from proxy.core.log_line import RequestLine
from proxy.core.signature.base import NotSignable
from proxy.core.signature.response import Question
from proxy.core.terminals.return_address import is_navigation
from proxy.inbound.terminal_session import sent_to_pair
from proxy.portal import Portal

_PROOF = frozenset({b"signature", b"signature-input", b"portal-key", b"content-digest"})


def told_refusal(
    portal: Portal, request: Request, question: Question | None, refusal: Refusal, line: RequestLine
) -> Response:
    """Return the refusal as who asked can read it: sealed, signed, a page, or a problem in JSON."""
    if request.seal is not None:
        return refusal_response(refusal)
    if question is not None:
        return signed_response(portal, request, refusal_response(refusal), question)
    if isinstance(refusal, Unpaired) and is_navigation(request.method, request.fields):
        response = sent_to_pair(refusal, line.request_id)
        line.status = response.status
        return response
    page = wants_page(request.method, request.fields)
    hint = hint_for(refusal, request.fields) if page else ""
    return refusal_response(refusal, page=page, request_id=line.request_id, hint=hint)


def signed_response(
    portal: Portal, request: Request, response: Response, question: Question
) -> Response:
    """Return a response of our own, signed.

    A proof that it has of its own, as the identity document does, makes way for the one that
    answers this question. A question that no honest sender asks (it covers what isn't there)
    can't be signed for, and gets the response as it is.
    """
    bare_fields = response_for_travel([f for f in response.fields if f[0] not in _PROOF])
    bare = replace(response, fields=tuple(bare_fields))
    body = b"" if request.method == b"HEAD" else response.body
    digest = hashlib.sha256(body).digest()
    try:
        fields = portal.sign_response(bare, digest, question)
    except NotSignable:
        return response
    return replace(response, fields=fields)
