"""The identity document: what a Portal says of itself, signed (docs/protocol.md, section 2).

It is the only thing a Portal believes about another one that it hasn't verified call by call, so
it is accepted in one exact form: the ``portal-identity`` tag and exactly four components. An
app's JSON that its Portal signed as a response has another tag and can't pass for one.
"""

import json
from dataclasses import dataclass

from proxy.core.access.policy import MODES, Mode
from proxy.core.display_names import clean_name
from proxy.core.epoch import Epoch, read_epoch
from proxy.core.errors import Invalid, Refusal
from proxy.core.http.headers import Field, values_of
from proxy.core.identity import BadKey, PrivateKey, PublicKey
from proxy.core.sealing.offer import (
    ASSUMED_CHUNK,
    OfferedKey,
    read_largest_chunk,
    read_offers,
    write_offers,
)
from proxy.core.signature.base import Component, Covered, Message, NotSignable, signature_base
from proxy.core.signature.digest import BodyDigest, announced_digests
from proxy.core.signature.parameters import (
    find_signature,
    keyid_of,
    parse_portal_key,
    refuse_other_parameters,
    time_of,
)
from proxy.core.signature.response import Untrusted
from proxy.core.signature.writer import sign
from proxy.core.text_files.strict_json import parse_json

TAG = "portal-identity"
PATH = b"/.well-known/portal-identity"
LIFETIME = 3600
"""Seconds a document is valid, at most; its signature's ``expires`` is the only expiry."""
BACKDATED = LIFETIME // 2
"""Seconds that our own documents were signed ago, as their signature tells it.

A reader whose clock is off by up to half an hour, either way, still finds such a document valid;
its call is then refused under seal as out of time, and that refusal sets its clock right.
"""
SKEW = 60
MAX_BYTES = 65536

_PARAMETERS = frozenset({"created", "expires", "keyid", "tag"})
_DERIVED = Covered((Component("@status"),))
_COMPONENTS = frozenset(
    Component(name) for name in ("@status", "content-type", "content-digest", "portal-key")
)


@dataclass(frozen=True)
class Document:
    """A verified identity document, good until ``expires`` (Unix seconds)."""

    portal_id: str
    key: PublicKey
    name: str
    """What the owner calls the Portal; cleaned, but a stranger's choice all the same."""
    domain: str
    modes: frozenset[Mode]
    expires: int
    sealing_keys: tuple[OfferedKey, ...] = ()
    """The keys of kinds that are known here; whether their time is over is the sender's to see."""
    largest_chunk: int = ASSUMED_CHUNK
    """Bytes that a chunk of a sealed call may have, before it is sealed."""
    epoch: bytes | None = None
    """What calls are to be signed under; None where it doesn't say."""

    def sealing_key(self, now: float) -> OfferedKey | None:
        """Return the newest key that a call may be sealed to; None where there is none."""
        usable = [key for key in self.sealing_keys if key.until > now]
        if "sealed" not in self.modes or not usable:
            return None
        return max(usable, key=lambda key: key.until)


def document_body(
    key: PrivateKey,
    name: str,
    domain: str,
    modes: tuple[Mode, ...],
    sealing_keys: tuple[OfferedKey, ...] = (),
    largest_chunk: int = ASSUMED_CHUNK,
    epoch: Epoch | None = None,
) -> bytes:
    """Return the JSON of our own document: nothing in it but what a stranger may know."""
    members: dict[str, object] = {
        "id": key.public.portal_id,
        "name": name,
        "public_key_pem": key.public.pem,
        "domain": domain,
        "modes": list(modes),
        "sealing_keys": write_offers(sealing_keys),
        "largest_chunk": largest_chunk,
    }
    if epoch is not None:
        members["epoch"] = epoch.text
    return json.dumps(members, ensure_ascii=False, indent=2).encode("utf-8")


def sign_document(key: PrivateKey, digest: Field, *, now: int) -> tuple[Field, ...]:
    """Return the fields of the 200 response that carries the document.

    ``digest`` is its ``content-digest`` field.
    """
    fields = ((b"content-type", b"application/json"), digest)
    created = now - BACKDATED
    times = f";created={created};expires={created + LIFETIME}"
    parameters = f'{times};keyid="{key.public.portal_id}";tag="{TAG}"'
    response = Message(fields=fields, status=200)
    return sign(key, response, _DERIVED, (), parameters).fields


def verify_document(expected: str, response: Message, body: bytes, *, now: float) -> Document:
    """Return the document in ``response``; raises ``Untrusted``.

    ``expected`` is the full ID asked for, or the prefix that the owner typed.
    """
    try:
        return _verified(expected, response, body, now)
    except Refusal as refusal:
        raise Untrusted(f"identity document: {refusal.detail}") from None
    except (NotSignable, BadKey, Invalid) as error:
        raise Untrusted(f"identity document: {error}") from None


def _verified(expected: str, response: Message, body: bytes, now: float) -> Document:
    if response.status != 200 or len(body) > MAX_BYTES:  # noqa: PLR2004 - HTTP's OK
        raise Untrusted(f"no identity document: status {response.status}, {len(body)} bytes")
    signature = find_signature(response.fields, TAG)
    refuse_other_parameters(signature, _PARAMETERS)
    created, expires = time_of(signature, "created"), time_of(signature, "expires")
    if not created <= expires <= created + LIFETIME or created > now + SKEW or expires <= now:
        raise Untrusted(f"identity document: created {created}, expires {expires}, now {now:.0f}")
    if set(signature.components) != _COMPONENTS:
        raise Untrusted("identity document: the signature covers something else than it must")
    for component in _COMPONENTS - {Component("@status")}:
        if len(values_of(response.fields, component.field_name)) != 1:
            raise Untrusted(f"identity document: {component.identifier} stands more than once")
    key = parse_portal_key(response.fields)
    if keyid_of(signature) != key.portal_id or not key.portal_id.startswith(expected):
        raise Untrusted(f"identity document: of {key.portal_id}, asked for {expected}")
    base = signature_base(signature.components, signature.text, response)
    if not key.verifies(signature.value, base):
        raise Untrusted("identity document: the signature doesn't verify")
    digest = BodyDigest(announced_digests(response.fields))
    digest.update(body)
    digest.refuse_mismatch()
    return _document(key, body, expires)


def _document(key: PublicKey, body: bytes, expires: int) -> Document:
    members = parse_json("identity document", body)
    if not isinstance(members, dict) or members.get("id") != key.portal_id:
        raise Untrusted("identity document: its id isn't that of its key")
    name, domain, modes = members.get("name"), members.get("domain"), members.get("modes")
    if not isinstance(name, str) or not isinstance(domain, str) or not isinstance(modes, list):
        raise Untrusted("identity document: name, domain or modes is missing")
    known = frozenset(mode for mode in MODES if mode in modes)
    try:
        # An older document has none of them.
        offers = read_offers(members.get("sealing_keys", []))
        largest = read_largest_chunk(members.get("largest_chunk", ASSUMED_CHUNK))
        epoch = read_epoch(members["epoch"]) if "epoch" in members else None
    except ValueError as error:
        raise Untrusted(f"identity document: {error}") from None
    name, domain = clean_name(name), clean_name(domain)
    return Document(key.portal_id, key, name, domain, known, expires, offers, largest, epoch)
