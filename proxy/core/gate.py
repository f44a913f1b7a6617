"""The order of checks: every one that a request passes before an app hears of it.

Read ``admit`` first. Each step raises a ``Refusal`` or lets the request go on; none of them can be
skipped by what a client sends, and a request that claims to be a Portal's is verified or refused,
never taken for an anonymous one. The body's digest is the last step: ``Admission.digests`` must
match before anything is forwarded (``proxy.inbound.app`` holds that).
Source: docs/protocol.md, section 3.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.destination_header import FIELD, names_source, parse_destination
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import (
    ANONYMOUS,
    Access,
    Caller,
    Contact,
    ContactList,
    Mode,
    may_enter,
)
from proxy.core.access.rules import Rule, stricter
from proxy.core.access.target import Target, origin_form, parse_target
from proxy.core.app_fields import fields_of_peer, fields_of_stranger
from proxy.core.devices import challenge_for, identify, refuse_token_of_peer
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, Fields, connection_options, refuse_malformed, values_of
from proxy.core.identity import short_id
from proxy.core.identity_document import PATH as IDENTITY_DOCUMENT
from proxy.core.record import record
from proxy.core.sealing.envelope import GATEWAY
from proxy.core.signature import request as signed
from proxy.core.signature.base import Message
from proxy.core.signature.digest import announced_digests
from proxy.core.signature.parameters import decode_nonce
from proxy.core.signature.response import Question
from proxy.core.terminals.return_address import pairing_address
from proxy.core.terminals.terminals import TerminalList

_NEVER_SERVED = frozenset({b"TRACE", b"CONNECT"})
_OF_APPS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""What every app may be asked; it answers for itself where it has no such method, or further ones.
"""

Claim = Callable[[str, bytes, bytes | None], None]
"""Claims (sender's full ID, nonce, epoch that was signed) once and for all.

Raises ``Refusal`` when it can't: ``OUT_OF_TIME`` for another epoch than ours, or none.
"""


def _in_clear() -> bool:
    """Tell that a request can have been read on its way: what is so where nobody knows better."""
    return False


class Rates(Protocol):
    """How often may be asked, of the client that sent the request. Raises ``RATE_LIMITED``."""

    def count_stranger(self) -> None:
        """Count a request of somebody unknown, for the network that it came from."""

    def count_at_app(self, caller: Caller, app: str) -> None:
        """Count a request of a stranger's or a device's to ``app``."""

    def refuse_peer(self, peer: str, app: str | None) -> None:
        """Refuse a call that comes too early, to ``app`` or the Portal itself; counts nothing."""

    def count_peer(self, peer: str, app: str | None) -> None:
        """Count a call whose nonce was claimed; raises nothing."""


@record(frozen=True, slots=True)
class Request:
    """The head of a request as it stood on the wire; field names in lower case."""

    method: bytes
    target: bytes
    fields: Fields
    seal: bytes | None = None
    """The encapsulated key of the envelope that it came in; None outside of one."""


@dataclass(frozen=True)
class AccessContext:
    """What requests are judged against: this Portal, its apps, its owner's contacts and devices."""

    portal_id: str
    hosts: Hosts
    apps: Mapping[str, RuleMatcher]
    contacts: ContactList | None
    """None where nobody knows who is a contact just now: then no peer is let in."""
    modes: frozenset[Mode] = frozenset({"signed"})
    """The modes in which the owner accepts calls."""
    terminals: TerminalList = field(default_factory=TerminalList)
    """The owner's own devices."""
    unavailable: frozenset[str] = frozenset()
    """Apps that aren't among ``apps``, since nobody knows just now what they ask for."""
    entrances: Mapping[str, str] = field(default_factory=dict)
    """By which way each app that has an entrance of its own comes in there."""
    device_tokens: frozenset[str] = frozenset()
    """Apps to which devices come by a token."""


class Admission(NamedTuple):
    """A request that passed; ``app`` and ``rule`` are None where it is for the Portal itself."""

    caller: Caller
    app: str | None
    rule: Rule | None
    target: Target
    fields: tuple[Field, ...]
    """What the client sent and may reach the app: no hop, no identity, no protocol fields."""
    question: Question | None
    """The signed request, whose response is to be signed; None where no peer is calling."""
    digests: Mapping[str, bytes]
    """What the body must hash to before it is forwarded; empty where nothing was announced."""


class Unpaired(Refusal):
    """A refusal of somebody unknown at a private page: a paired browser would be let in."""

    def __init__(self, detail: str, pairing_address: str, *, challenge: bytes) -> None:
        super().__init__(Code.PROOF_REQUIRED, detail, challenge=challenge)
        self.pairing_address = pairing_address
        """Where a browser pairs that wants to go there."""


class RefusedPeer(Refusal):
    """A refusal whose request is well formed enough for the response to be signed."""

    def __init__(self, refusal: Refusal, question: Question) -> None:
        super().__init__(
            refusal.code,
            refusal.detail,
            now=refusal.now,
            allow=refusal.allow,
            retry_after=refusal.retry_after,
        )
        self.question = question


def admit(
    request: Request,
    context: AccessContext,
    now: float,
    claim: Claim,
    rates: Rates | None = None,
    is_confidential: Callable[[], bool] = _in_clear,
) -> Admission:
    """Walk ``request`` through every check; ``now`` is the time at which its head was complete.

    ``rates`` is None where the owner limits none. ``is_confidential`` tells whether nobody on the
    way can have read the request; few are asked.
    """
    refuse_malformed(request.fields)
    host = _host(request.fields)
    app = context.hosts.locate(host)
    if not signed.is_meant_as_ours(request.fields):
        if request.seal is not None:
            raise Refusal(Code.PROOF_REQUIRED, "nothing signed in the envelope")
        return _admit_unsigned(request, host, app, context, now, rates, is_confidential)
    if not request.target.isascii():
        # No signature can be over these bytes, and that of the refusal would be over them.
        raise Refusal(Code.BAD_TARGET, "bytes outside ASCII in a call")
    read = signed.read_signature(request.fields)
    message = _message(request, app, context)
    question = Question(message, read.signature.components, read.nonce)
    try:
        return _admit_peer(read, question, request.seal, app, context, now, claim, rates)
    except Refusal as refusal:
        raise RefusedPeer(refusal, question) from None


def _admit_unsigned(
    request: Request,
    host: bytes,
    app: str | None,
    context: AccessContext,
    now: float,
    rates: Rates | None,
    is_confidential: Callable[[], bool],
) -> Admission:
    """Admit a request that no Portal signed: the owner's device's, or a stranger's."""
    context.hosts.refuse_app(host, app)
    target = parse_target(origin_form(request.method, request.target, host), ascii_only=False)
    _refuse_method(request.method, app)
    caller, foreign, fields = identify(request, app, context, now, rates, is_confidential)
    if rates is not None and caller is ANONYMOUS and not _leads_to_a_proof(request, app, target):
        rates.count_stranger()
    rule = _rule(app, target, fields, context, ascii_only=False)
    if rule is not None and not may_enter(rule.access, caller, knows_caller=False):
        detail = f"{app}: {rule}"
        if caller is not ANONYMOUS:
            raise Refusal(Code.NOT_ALLOWED, f"{detail}; asked by {caller}")
        if not foreign and app is not None and rule.access is Access.PRIVATE:
            asked_for = challenge_for(request, app, context, is_confidential)
            address = pairing_address(context.hosts.origin, app, target)
            raise Unpaired(detail, address, challenge=asked_for)
        is_for_peers = rule.access is Access.PEER and not foreign
        hint = _how_peers_call(app, context) if is_for_peers else ""
        raise Refusal(Code.PROOF_REQUIRED, detail + foreign, hint=hint)
    if rates is not None and app is not None:
        rates.count_at_app(caller, app)
    reserved = context.apps[app].reserved if app else frozenset()
    passing = fields_of_stranger(fields, reserved)
    return Admission(caller, app, rule, target, passing, None, {})


def _how_peers_call(app: str | None, context: AccessContext) -> str:
    """Say how an app calls what is for peers: who asked may be one that left its Portal's way."""
    host = context.hosts.origin.of_app(app or "").host
    return (
        "This is for peers. An app calls it through its own Portal, which proves who calls: always "
        f"with http://, as http://{host}/... with HTTP_PROXY set, or as "
        f"http://portal_core/internal/call_peer/{short_id(context.portal_id)}/..."
    )


def brings_envelope(request: Request, app: str | None, target: Target) -> bool:
    """Tell whether an unsigned request is for the gateway: what it brings is judged by itself."""
    return app is None and request.method == b"POST" and target.path == GATEWAY


def _leads_to_a_proof(request: Request, app: str | None, target: Target) -> bool:
    """Tell whether a peer sends this where its proof is inside, or can't be made without it.

    Then it doesn't count for its network: whoever else is there would keep the peer out. To answer
    costs no more than to look at a forged proof, of which no rate saves anything either.
    """
    if brings_envelope(request, app, target):
        return True
    return app is None and request.method == b"GET" and target.path == IDENTITY_DOCUMENT


def _admit_peer(  # noqa: PLR0913, PLR0917 - what it is judged by, and what that changes
    read: signed.RequestSignature,
    question: Question,
    seal: bytes | None,
    app: str | None,
    context: AccessContext,
    now: float,
    claim: Claim,
    rates: Rates | None,
) -> Admission:
    """Admit a request that claims to be a Portal's. The order is the specification's."""
    message, fields = question.message, question.message.fields
    mode: Mode = "signed" if seal is None else "sealed"
    if mode not in context.modes:
        raise Refusal(Code.MODE_NOT_ACCEPTED, mode)
    if seal is None and app is not None and not context.hosts.of_apps:
        raise Refusal(Code.MODE_NOT_ACCEPTED, "app_hosts is false")
    _refuse_hop_tricks(read, fields)
    signed.refuse_out_of_time(read, now)
    if seal is None and values_of(fields, b"portal-seal"):
        raise Refusal(Code.SIGNATURE_MALFORMED, "portal-seal outside an envelope")
    signed.refuse_bad_coverage(read, fields, is_sealed=seal is not None)
    key = signed.sender_key(read, fields)
    recipient = signed.read_recipient(fields)
    signed.refuse_other_recipient(recipient, context.portal_id, app)
    if seal is not None:
        signed.refuse_other_envelope(fields, seal)
    signed.refuse_forged(read, key, message)
    contact = _contact(key.portal_id, app, context)
    caller = Caller("peer", contact.id, contact.name)
    target = parse_target(message.target)
    _refuse_method(message.method, app)
    rule = _rule(app, target, fields, context, names=read.signature.components.field_names)
    if rule is not None and not may_enter(rule.access, caller, knows_caller=True):
        raise Refusal(Code.NOT_ALLOWED, f"{app}: {rule}")
    if app is not None and b"authorization" in read.signature.components.field_names:
        refuse_token_of_peer(fields, context.terminals)
    needs_digest = seal is None or values_of(fields, b"content-digest")
    digests = announced_digests(fields) if needs_digest else {}
    if rates is not None:
        rates.refuse_peer(contact.id, app)
    claim(contact.id, decode_nonce(read.nonce), recipient.epoch)
    if rates is not None:
        rates.count_peer(contact.id, app)  # only now: a copy of a call takes nothing from its peer
    reserved = context.apps[app].reserved if app else frozenset()
    forwarded = fields_of_peer(fields, read.signature.components, reserved)
    return Admission(caller, app, rule, target, forwarded, question, digests)


def _host(fields: Fields) -> bytes:
    hosts = values_of(fields, b"host")
    if len(hosts) != 1:
        raise Refusal(Code.BAD_REQUEST, f"{len(hosts)} Host fields")
    return hosts[0]


def _message(request: Request, app: str | None, context: AccessContext) -> Message:
    """Return the request as its sender must have signed it.

    For *our* authority, not for the Host that arrived: whoever carries the request can choose it.
    """
    origin = context.hosts.origin if app is None else context.hosts.origin.of_app(app)
    return Message(
        fields=request.fields,
        method=request.method,
        authority=origin.authority,
        target=request.target,
        scheme=origin.scheme,
    )


def _refuse_hop_tricks(read: signed.RequestSignature, fields: Fields) -> None:
    """Refuse what somebody on the way can add to a signed request to change its meaning."""
    options = connection_options(fields)
    if b"upgrade" in options or values_of(fields, b"upgrade"):
        raise Refusal(Code.UPGRADE_UNSUPPORTED, "a signed request asks for an upgrade")
    if not options:
        return
    covered = read.signature.components.field_names
    evidence = covered | {b"signature", b"signature-input", b"host", b"content-length"}
    if tampered := options & evidence:
        raise Refusal(Code.BAD_FIELD, f"Connection names {sorted(tampered)}")


def _contact(portal_id: str, app: str | None, context: AccessContext) -> Contact:
    """Return the sender's contact, if the owner has one and ``app`` may know it.

    Unknown and hidden look alike to the sender; the detail tells the owner which it was.
    """
    if context.contacts is None:
        raise Refusal(Code.CONTACTS_UNAVAILABLE, "the contact list can't be read")
    contact = context.contacts.find(portal_id)
    if contact is None:
        raise Refusal(Code.NOT_ALLOWED, f"{portal_id} isn't a contact")
    if app is not None and app in context.apps and not context.contacts.may_know(app, portal_id):
        raise Refusal(Code.NOT_ALLOWED, f"{app} may not know {portal_id}")
    return contact


def _refuse_method(method: bytes, app: str | None) -> None:
    """Refuse what a server answers without asking an app, or asks an app to open a tunnel for.

    TRACE returns the request, fields of ours included. Methods are case-sensitive (RFC 9110,
    section 9.1), but there are servers that write them in capitals before they look.
    """
    if method.upper() in _NEVER_SERVED:
        allow = "GET, HEAD, POST" if app is None else _OF_APPS
        raise Refusal(Code.METHOD_NOT_ALLOWED, method.decode("ascii"), allow=allow)


def _rule(
    app: str | None,
    target: Target,
    fields: Fields,
    context: AccessContext,
    *,
    names: Collection[bytes] | None = None,
    ascii_only: bool = True,
) -> Rule | None:
    """Return the rule for the target and the second one: the stricter of theirs.

    Where all of an app's paths have the same access, the second target changes nothing. Of
    ``fields`` those may reach the app that have one of ``names``; None is all.
    """
    if app is None:
        return None
    matcher = context.apps.get(app)
    if matcher is None:
        if app in context.unavailable:
            raise Refusal(Code.APP_UNAVAILABLE, f"the files of {app} can't be read")
        raise Refusal(Code.NO_SUCH_APP, app)
    rule = matcher.decide(target)
    if matcher.rules.uniform_access is not None:
        return rule
    if names is not None:
        fields = [pair for pair in fields if pair[0] in names]
    if names_source(fields):
        return matcher.rules.strictest
    destinations = values_of(fields, FIELD)
    if not destinations:
        return rule
    second = parse_destination(destinations, app, context.hosts, ascii_only=ascii_only)
    return stricter(rule, matcher.decide(second))
