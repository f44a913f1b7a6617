"""The signed request: what a Portal signs when one of its apps calls a peer (docs/protocol.md, 3).

Signing and verifying stand side by side. Verifying is split into the steps that
``proxy.core.gate`` takes in its order; each raises a ``Refusal`` of its own.
"""

import re
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from typing import NamedTuple

from proxy.core.epoch import EPOCH_BYTES
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import HOP_BY_HOP, Fields, index_of, values_of
from proxy.core.identity import BadKey, PrivateKey, PublicKey
from proxy.core.signature.base import Component, Covered, Message, NotSignable, signature_base
from proxy.core.signature.canonical import canonical_base64
from proxy.core.signature.own_form import Signature
from proxy.core.signature.parameters import (
    encode_nonce,
    find_signature,
    keyid_of,
    malformed,
    nonce_of,
    parse_bytes,
    parse_field,
    parse_portal_key,
    refuse_other_parameters,
    time_of,
)
from proxy.core.signature.writer import Signed, are_lines, coverage, sign

TAG = "portal-peering"
LIFETIME = 60
"""Seconds between ``created`` and ``expires``, at most."""
SKEW = 60
"""Seconds that two honest clocks may differ."""

_PARAMETERS = frozenset({"created", "expires", "nonce", "keyid", "tag"})
_DERIVED = Covered(
    Component(name) for name in ("@method", "@authority", "@path", "@query", "@request-target")
)
_ALWAYS = (*_DERIVED, Component("portal-key"), Component("portal-to"))
_SIGNED = (*_ALWAYS, Component("content-digest"))
_SEALED = (*_ALWAYS, Component("portal-seal"))
_FIELDS_OF = {
    is_sealed: frozenset(component.field_name for component in required) - _DERIVED.field_names
    for is_sealed, required in ((False, _SIGNED), (True, _SEALED))
}
_CLAIMS = frozenset({b"portal-key", b"portal-to", b"portal-seal"})
_TAG = TAG.encode("ascii")
_EVIDENCE = frozenset({b"signature", b"signature-input", b"host"})
MAX_PROOF = 8192
"""Bytes of ``Signature-Input``, and of ``Signature``: reading them is a stranger's to spend."""
_MAX_RECIPIENT = 512
_RECIPIENT = re.compile(
    rb"\"([a-z0-9]{103})\"(?:;app=\"([a-z0-9-]{1,63})\")?(?:;epoch=:("
    + canonical_base64(EPOCH_BYTES).encode()
    + rb"):)?"
)
"""``portal-to`` as our own signer writes it."""
SEAL_BYTES = 32
"""Bytes of an envelope's encapsulated key: an X25519 public key."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a request is for: a Portal's full ID, and the app there; None is the Portal itself."""

    portal_id: str
    app: str | None
    epoch: bytes | None = None
    """The epoch there that it is signed under; None where the sender knows of none."""

    def field(self) -> tuple[bytes, bytes]:
        """Return the field ``portal-to``."""
        text = f'"{self.portal_id}"'
        if self.app is not None:
            text += f';app="{self.app}"'
        if self.epoch is not None:
            text += f";epoch=:{b2a_base64(self.epoch, newline=False).decode('ascii')}:"
        return b"portal-to", text.encode("ascii")


class RequestSignature(NamedTuple):
    """The signature of ours on a request, well formed but not yet believed."""

    signature: Signature
    keyid: str
    nonce: str
    created: int
    expires: int


def sign_request(
    key: PrivateKey, message: Message, to: Recipient, *, nonce: bytes, now: int
) -> Signed:
    """Sign a request; ``fields`` of the result are to be sent, in order.

    ``message.fields`` are the end-to-end fields as they will travel, with ``content-digest`` among
    them; ``nonce`` is 32 random bytes, ``now`` Unix seconds. Raises ``NotSignable``, and a
    ``Refusal`` where the names of the fields are too many for ``MAX_PROOF``.
    """
    parameters = (
        f";created={now};expires={now + LIFETIME}"
        f';nonce="{encode_nonce(nonce)}";keyid="{key.public.portal_id}";tag="{TAG}"'
    )
    signed = sign(key, message, _DERIVED, (to.field(),), parameters)
    if len(signed.proof[0][1]) > MAX_PROOF:
        raise Refusal(Code.HEAD_TOO_LARGE, f"more than {MAX_PROOF} bytes to name every field")
    return signed


def is_meant_as_ours(fields: Fields) -> bool:
    """Tell whether a request claims to be signed by a Portal, however badly.

    Such a request is verified or refused, never taken for an anonymous one: otherwise whoever
    breaks the signature on the way could downgrade the call.
    """
    by_name = index_of(fields)
    return not _CLAIMS.isdisjoint(by_name) or any(
        _TAG in value for value in by_name.get(b"signature-input", ())
    )


def read_signature(fields: Fields) -> RequestSignature:
    """Return the one signature of ours, checked for its form alone; raises ``Refusal``."""
    for name in (b"signature-input", b"signature"):
        if (size := _size(fields, name)) > MAX_PROOF:
            raise malformed(
                f"{name.decode('ascii')} has {size} bytes; at most {MAX_PROOF} are read"
            )
    signature = find_signature(fields, TAG)
    refuse_other_parameters(signature, _PARAMETERS)
    created, expires = time_of(signature, "created"), time_of(signature, "expires")
    if not created <= expires <= created + LIFETIME:
        raise malformed(f"expires must be at most {LIFETIME} seconds after created")
    if signature.components.asks:
        raise malformed("a request has no request to cover with ;req")
    return RequestSignature(signature, keyid_of(signature), nonce_of(signature), created, expires)


def refuse_out_of_time(read: RequestSignature, now: float) -> None:
    """Refuse a signature that isn't valid ``now`` (Unix seconds), give or take ``SKEW``."""
    if read.created > now + SKEW or read.expires < now - SKEW:
        detail = f"created {read.created}, expires {read.expires}, now {now:.0f}"
        raise Refusal(Code.OUT_OF_TIME, detail, now=int(now))


def refuse_bad_coverage(read: RequestSignature, fields: Fields, *, is_sealed: bool = False) -> None:
    """Refuse a signature that leaves out a required component, or covers one in the wrong form.

    ``;bs`` stands on exactly the fields with several lines or bytes outside ASCII, so that
    ``a`` and ``b`` on two lines can't be made into ``a, b`` on one. In an envelope there is no
    intermediary, and nothing that the sender didn't cover.
    """
    if not _is_covered_simply(read.signature.components, fields, is_sealed=is_sealed):
        _look_closely(read, fields, is_sealed=is_sealed)


def _is_covered_simply(covered: Covered, fields: Fields, *, is_sealed: bool) -> bool:
    """Tell whether all is well because every field that is covered is one line of ASCII.

    As nearly ever; False says nothing.
    """
    names = covered.bare_fields
    if names is None or len(covered) - len(names) != len(_DERIVED):
        return False
    if not _DERIVED.identifiers <= covered.identifiers:
        return False
    if not _FIELDS_OF[is_sealed] <= covered.field_names or not covered.is_end_to_end:
        return False
    by_name = index_of(fields)
    if is_sealed and not by_name.keys() <= covered.field_names | _EVIDENCE:
        return False
    return are_lines(by_name, names)


def _look_closely(read: RequestSignature, fields: Fields, *, is_sealed: bool) -> None:
    for component in _SEALED if is_sealed else _SIGNED:
        if not read.signature.covers(component):
            raise Refusal(Code.SIGNATURE_COVERAGE, f"doesn't cover {component.identifier}")
    if is_sealed:
        covered = read.signature.components.field_names
        if uncovered := {name for name, _ in fields} - covered - _EVIDENCE:
            raise Refusal(Code.SIGNATURE_COVERAGE, f"leaves {sorted(uncovered)} uncovered")
    for component in read.signature.components:
        if component.name.startswith("@"):
            if component not in _DERIVED:
                raise Refusal(Code.SIGNATURE_COVERAGE, f"covers {component.identifier}")
            continue
        name = component.field_name
        if name in HOP_BY_HOP or not values_of(fields, name):
            raise Refusal(Code.SIGNATURE_COVERAGE, f"covers {component.identifier}")
        if component != coverage(name, fields):
            raise Refusal(Code.SIGNATURE_COVERAGE, f"{component.identifier} is covered wrongly")


def sender_key(read: RequestSignature, fields: Fields) -> PublicKey:
    """Return the sender's key, which hashes to ``keyid``; raises ``Refusal``."""
    try:
        key = parse_portal_key(fields)
    except BadKey as error:
        raise Refusal(Code.KEY_MISMATCH, f"portal-key: {error}") from None
    if key.portal_id != read.keyid:
        raise Refusal(Code.KEY_MISMATCH, f"portal-key is {key.portal_id}, keyid is {read.keyid}")
    return key


def read_recipient(fields: Fields) -> Recipient:
    """Return whom a request says that it is for; raises ``Refusal`` where it isn't well formed."""
    lines = values_of(fields, b"portal-to")
    if len(lines) != 1 or _size(fields, b"portal-to") > _MAX_RECIPIENT:
        raise malformed(f"portal-to must stand on exactly one line of {_MAX_RECIPIENT} bytes")
    if own := _RECIPIENT.fullmatch(lines[0]):
        return Recipient(
            own[1].decode("ascii"),
            own[2].decode("ascii") if own[2] else None,
            a2b_base64(own[3]) if own[3] else None,
        )
    parsed = parse_field(fields, b"portal-to", "item")
    portal_id, parameters = parsed if isinstance(parsed, tuple) else (parsed, {})
    if type(portal_id) is not str or not set(parameters) <= {"app", "epoch"}:
        raise malformed('portal-to must be "<full ID>", with no parameters but app and epoch')
    app, epoch = parameters.get("app"), parameters.get("epoch")
    if app is not None and type(app) is not str:
        raise malformed("portal-to: app must be a String")
    if epoch is not None and not _is_epoch(epoch, lines[0]):
        raise malformed(f"portal-to: epoch must be a Byte Sequence of {EPOCH_BYTES} bytes")
    return Recipient(portal_id, app, epoch)


def _is_epoch(value: object, line: bytes) -> bool:
    """Tell whether this is an epoch that stands in ``line`` in the one spelling of its base64."""
    if not isinstance(value, bytes) or len(value) != EPOCH_BYTES:
        return False
    return b":" + b2a_base64(value, newline=False) + b":" in line


def refuse_other_recipient(recipient: Recipient, portal_id: str, app: str | None) -> None:
    """Refuse a request that was signed for another Portal, or another app than the Host's."""
    if (recipient.portal_id, recipient.app) != (portal_id, app):
        detail = f"for {recipient.portal_id} {recipient.app!r}, asked of {app!r}"
        raise Refusal(Code.WRONG_RECIPIENT, detail)


def refuse_other_envelope(fields: Fields, seal: bytes) -> None:
    """Refuse a request whose ``portal-seal`` isn't ``seal``, its envelope's encapsulated key.

    Otherwise a signature could be moved into an envelope that somebody else made.
    """
    if parse_bytes(fields, b"portal-seal", SEAL_BYTES) != seal:
        raise Refusal(Code.WRONG_ENVELOPE, "portal-seal isn't this envelope's")


def refuse_forged(read: RequestSignature, key: PublicKey, message: Message) -> None:
    """Refuse a signature that isn't ``key``'s over ``message``."""
    try:
        base = signature_base(read.signature.components, read.signature.text, message)
    except NotSignable as error:
        raise Refusal(Code.SIGNATURE_COVERAGE, str(error)) from None
    if not key.verifies(read.signature.value, base):
        raise Refusal(Code.SIGNATURE_INVALID, f"not the signature of {read.keyid}")


def _size(fields: Fields, name: bytes) -> int:
    """Return how many bytes the field has, over all of its lines."""
    return sum(map(len, values_of(fields, name)))
