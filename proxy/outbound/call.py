"""A call to a peer, and what every way to carry one out has in common (docs/protocol.md).

``signed`` and ``sealed`` are the two ways.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

from proxy.core.access.policy import Contact
from proxy.core.epoch import read_epoch
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, Fields, restored_after_travel
from proxy.core.http.origin import Origin
from proxy.core.http.problem import RefusalMark, refusal_mark
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Message
from proxy.core.signature.request import LIFETIME, Recipient
from proxy.http.upstream import Destination, ResponseReceiver, Upstream, UpstreamExchange
from proxy.outbound.destinations import app_destination, destination_of
from proxy.outbound.epochs import Epochs
from proxy.outbound.reachability import Reachability
from proxy.transfer.failures import is_safe
from proxy.transfer.response import passing_fields

PROBLEM_LIMIT = 65536
"""Bytes of a problem document that are read."""


@dataclass(frozen=True)
class Call:
    """What an app wants sent: to the same app at ``contact``, bytes as they came."""

    app: str | None
    """None calls the Portal itself."""
    contact: Contact
    method: bytes
    target: bytes
    fields: Fields
    """End-to-end fields under their travelling names."""
    has_body: bool
    size: int | None = None
    """Bytes of the body, where that is known before it has come."""
    at: int | None = None
    """Unix seconds to sign the call for, once; None is now, set right where the peer proves it."""

    @property
    def origin(self) -> Origin:
        """Scheme, host and port that the call is for."""
        return self.destination.origin

    @cached_property
    def destination(self) -> Destination:
        """Where the app is reached."""
        if self.app is None:
            return destination_of(self.contact)
        return app_destination(self.contact, self.app)

    def recipient(self, epoch: bytes | None) -> Recipient:
        """Return whom the request is signed for, under which epoch."""
        return Recipient(self.contact.id, self.app, epoch)

    def message(self, *more: Field) -> Message:
        """Return the request as it is to be signed, with ``more`` fields."""
        origin = self.origin
        return Message(
            fields=(*self.fields, *more),
            method=self.method,
            authority=origin.authority,
            target=self.target,
            scheme=origin.scheme,
        )


@dataclass(frozen=True)
class CallResponse:
    """The peer's response, verified: as the calling app gets it."""

    status: int
    fields: tuple[Field, ...]
    """With ``content-length`` where the length is known."""
    pieces: AsyncIterator[bytes]
    """The body; raises ``UpstreamFailed`` where it breaks off."""
    refusal: RefusalMark = field(default_factory=RefusalMark)
    """With what the peer's proxy refused."""


@dataclass(frozen=True)
class CallContext:
    """What both transports need of the Portal whose apps call."""

    key: PrivateKey
    upstream: Upstream
    reachability: Reachability
    """Is told of each call whether its peer answered."""
    clock: Callable[[], float]
    """Unix seconds."""
    epochs: Epochs = field(default_factory=Epochs)
    """Under which epochs calls are signed."""


class CallExchange(UpstreamExchange, Protocol):
    """A call on its way, and the peer's response, which is told verified, as the app gets it."""

    refusal: RefusalMark
    """With what the peer's proxy refused: known once the response's head is told."""

    def fail(self, failure: Refusal) -> None:
        """End it with what is wrong with the call's body; that is told as any failure is."""


class CallTransport(Protocol):
    """One way to carry calls out."""

    def begin(self, call: Call, receiver: ResponseReceiver) -> CallExchange:
        """Send ``call``; its body, where it ``has_body``, comes by the exchange's ``send``.

        ``receiver`` is told the response as a calling app gets it. What fails is a ``Refusal``
        while no head was told, and ``UpstreamFailed`` afterwards.
        """

    def carry_out(
        self, call: Call, body: AsyncIterator[bytes]
    ) -> AbstractAsyncContextManager[CallResponse]:
        """Send ``call`` with ``body``; inside the context is the response. Raises ``Refusal``.

        ``body`` must bear that a wait for a piece of it is cancelled, and go on after that.
        """


def peer_name(contact: Contact) -> str:
    """Return the contact as the log names it."""
    return f"{contact.id} at {contact.connect or contact.address}"


class Told(NamedTuple):
    """What a peer says with ``OUT_OF_TIME``: what a call would have to be signed with."""

    now: int
    epoch: bytes | None
    memory: int | None


def time_told(fields: Fields, problem: bytes) -> Told | None:
    """Return what the peer's (verified) response tells that refuses a request for its time.

    ``problem`` is the beginning of the body. None where it isn't that refusal, or tells no time.
    """
    code, now, epoch, memory = refusal_mark(fields)
    if code != Code.OUT_OF_TIME.public:
        return None
    if now is None:
        try:
            members = json.loads(problem[:PROBLEM_LIMIT])
            now, memory = members.get("now"), members.get("memory")
            epoch = read_epoch(members["epoch"]) if "epoch" in members else None
        except (ValueError, AttributeError, RecursionError):
            return None
    if type(now) is not int or now <= 0:
        return None
    return Told(now, epoch, memory if type(memory) is int else None)


def refuse_forgotten(call: Call, signed: bytes | None, told: Told, seconds: float) -> None:
    """Refuse to send a call again that may have been carried out, and forgotten.

    It was ``signed`` under another epoch than the one that was ``told``, the first time so many
    ``seconds`` ago. With its replay store a peer may have lost what it claimed since; unless its
    memory reaches back that far, the same nonce could pass once more.
    """
    if signed is None or signed == told.epoch or is_safe(call.method):
        return
    if told.memory is None or told.memory <= 1000 * seconds:
        detail = f"{peer_name(call.contact)}: its replay store was replaced meanwhile"
        raise Refusal(Code.OUTCOME_UNKNOWN, detail)


def is_repeatable(started: float, now: float) -> bool:
    """Tell whether a call that ``started`` then can be sent once more: both in Unix seconds.

    Later than a signature lives, the replay store could have forgotten the first.
    """
    return 0 <= now - started < LIFETIME


def refuse_replayed(call: Call, fields: Fields) -> None:
    """Refuse a response that says that the call was seen before: it was perhaps carried out."""
    if refusal_mark(fields).code == Code.REPLAYED.public:
        raise Refusal(Code.OUTCOME_UNKNOWN, f"{call.contact.id}: the nonce was already claimed")


def refuse_unproven(call: Call, code: str) -> None:
    """Refuse a refusal of a second try where nobody proved what became of the first.

    Whoever forged the problem can delay the second try until it is refused for its time.
    """
    if not is_safe(call.method):
        raise Refusal(Code.OUTCOME_UNKNOWN, f"{peer_name(call.contact)}: refused at last, {code}")


def fields_for_app(call: Call, status: int, fields: Fields, *, streams: bool) -> tuple[Field, ...]:
    """Return the response's fields as the calling app gets them.

    Without cookies for more than the app that was called: its Portal should have dropped them.
    """
    restored = restored_after_travel(fields)
    own = (call.origin.host.encode("ascii"),)
    return tuple(passing_fields(call.method, status, restored, streams=streams, own=own))
