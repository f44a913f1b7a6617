"""The signed response: proof that the Portal that was called is the one that answers.

It is bound to one request by that request's nonce and by ``;req`` components for everything that
the request's signature covers, so a response can't be moved from one call to another.
Source: docs/protocol.md, section 4.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, Fields, index_of, values_of
from proxy.core.identity import BadKey, PrivateKey
from proxy.core.record import record
from proxy.core.signature.base import Component, Covered, Message, NotSignable, signature_base
from proxy.core.signature.digest import announced_digests
from proxy.core.signature.parameters import (
    find_signature,
    keyid_of,
    nonce_of,
    parse_portal_key,
    refuse_other_parameters,
    time_of,
)
from proxy.core.signature.writer import Signed, are_lines, coverage, sign

TAG = "portal-peering-response"
_PARAMETERS = frozenset({"created", "nonce", "keyid", "tag"})
_STATUS = Component("@status")
_CONTENT_DIGEST = Component("content-digest")
_KEPT = 128
_MOST_KEPT = 48
"""What was found of so many pairs of lists is remembered, each of so many components."""


@record(frozen=True, slots=True)
class Question:
    """The signed request that a response answers, as both sides saw it."""

    message: Message
    components: Sequence[Component]
    nonce: str


class VerifiedResponse(NamedTuple):
    """A response whose signature holds. Its body is believed once the digests match too."""

    fields: tuple[Field, ...]
    """The fields that were covered, in order; nothing else may reach the app."""
    digests: dict[str, bytes]


class Untrusted(Exception):
    """A response that can't be believed; the message is for the log."""


def sign_response(key: PrivateKey, response: Message, question: Question, *, now: int) -> Signed:
    """Sign ``response``, whose fields include ``content-digest``, as the response to ``question``.

    Raises ``NotSignable``.
    """
    derived = Covered.of(question.components).for_response
    parameters = (
        f';created={now};nonce="{question.nonce}";keyid="{key.public.portal_id}";tag="{TAG}"'
    )
    return sign(key, response, derived, (), parameters, question.message)


def verify_response(expected: str, response: Message, question: Question) -> VerifiedResponse:
    """Return what of ``response`` can be believed as the response of the Portal ``expected``.

    ``expected`` is its full ID. Raises ``Untrusted``.
    """
    fields = response.fields
    try:
        signature = find_signature(fields, TAG)
        refuse_other_parameters(signature, _PARAMETERS)
        time_of(signature, "created")
        key = parse_portal_key(fields)
        if key.portal_id != expected or keyid_of(signature) != expected:
            raise Untrusted(f"answered with the key of {key.portal_id}, not of {expected}")
        if nonce_of(signature) != question.nonce:
            raise Untrusted("the response belongs to another request")
        _require_coverage(signature.components, fields, question)
        base = signature_base(signature.components, signature.text, response, question.message)
        digests = announced_digests(fields)
    except Refusal as refusal:
        raise Untrusted(refusal.detail) from None
    except (NotSignable, BadKey) as error:
        raise Untrusted(str(error)) from None
    if not key.verifies(signature.value, base):
        raise Untrusted("the signature doesn't verify")
    covered = signature.components.own_names
    return VerifiedResponse(tuple(pair for pair in fields if pair[0] in covered), digests)


def _require_coverage(components: Covered, fields: Fields, question: Question) -> None:
    """Raise ``Untrusted`` unless all that is needed is covered, and in its one form."""
    asked = Covered.of(question.components)
    names = (
        _fields_beside(components, asked)
        if max(len(asked), len(components)) <= _MOST_KEPT
        else None
    )
    if names is None or not are_lines(index_of(fields), names):
        _look_closely(components, fields, question)


@lru_cache(maxsize=_KEPT)
def _fields_beside(components: Covered, asked: Covered) -> tuple[bytes, ...] | None:
    """Return the names of the response's own fields, if all that is needed is covered.

    None, which says nothing, where any of them is covered in another form than as one line.
    """
    needed = {_STATUS, _CONTENT_DIGEST, *asked.asked}
    beside = set(components) - needed
    if not needed <= set(components) or any(c.parameters or c.name.startswith("@") for c in beside):
        return None
    return (_CONTENT_DIGEST.field_name, *(component.field_name for component in beside))


def _look_closely(components: Covered, fields: Fields, question: Question) -> None:
    needed = {
        _STATUS,
        _CONTENT_DIGEST,
        *(component.of_request() for component in question.components),
    }
    if missing := needed.difference(components):
        raise Untrusted(f"doesn't cover {', '.join(sorted(c.identifier for c in missing))}")
    if len(values_of(fields, b"content-digest")) != 1:
        raise Untrusted("content-digest must stand on exactly one line")
    for component in set(components) - needed:
        name = component.field_name
        if component.has("req") or name.startswith(b"@") or not values_of(fields, name):
            raise Untrusted(f"covers {component.identifier}")
        if component != coverage(name, fields):
            raise Untrusted(f"{component.identifier} is covered wrongly")
