"""A call to a peer, and what every way to carry one out has in common (docs/protocol.md).

``signed`` and ``sealed`` are the two ways.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from proxy.core.access.policy import Contact
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, Fields, restored_after_travel
from proxy.core.http.origin import Origin
from proxy.core.http.problem import refusal_mark
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Message
from proxy.core.signature.request import LIFETIME, Recipient
from proxy.http.upstream import Destination, Upstream
from proxy.outbound.destinations import app_destination, destination_of
from proxy.outbound.reachability import Reachability
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
        portal = self.contact.origin
        return portal if self.app is None else portal.of_app(self.app)

    @property
    def destination(self) -> Destination:
        """Where the app is reached."""
        if self.app is None:
            return destination_of(self.contact)
        return app_destination(self.contact, self.app)

    @property
    def recipient(self) -> Recipient:
        """Whom the request is signed for."""
        return Recipient(self.contact.id, self.app)

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
    refusal: tuple[str, int | None] = ("", None)
    """The code with which the peer's proxy refused, and the time it told; "": its app answered."""


@dataclass(frozen=True)
class CallContext:
    """What both transports need of the Portal whose apps call."""

    key: PrivateKey
    upstream: Upstream
    reachability: Reachability
    """Is told of each call whether its peer answered."""
    clock: Callable[[], float]
    """Unix seconds."""


class CallTransport(Protocol):
    """One way to carry calls out."""

    def carry_out(
        self, call: Call, body: AsyncIterator[bytes]
    ) -> AbstractAsyncContextManager[CallResponse]:
        """Send ``call`` with ``body``; inside the context is the response. Raises ``Refusal``.

        ``body`` must bear that a wait for a piece of it is cancelled, and go on after that.
        """


def peer_name(contact: Contact) -> str:
    """Return the contact as the log names it."""
    return f"{contact.id} at {contact.connect or contact.address}"


def time_told(fields: Fields, problem: bytes) -> int | None:
    """Return the peer's clock, where its (verified) response refuses a request for its time.

    ``problem`` is the beginning of the body. None where it isn't that refusal, or tells no time.
    """
    code, told = refusal_mark(fields)
    if code != Code.OUT_OF_TIME.public:
        return None
    if told is None:
        try:
            told = json.loads(problem[:PROBLEM_LIMIT]).get("now")
        except (ValueError, AttributeError, RecursionError):
            return None
    return told if type(told) is int and told > 0 else None


def is_repeatable(started: float, now: float) -> bool:
    """Tell whether a call that ``started`` then can be sent once more: both in Unix seconds.

    Later than a signature lives, the replay store could have forgotten the first.
    """
    return 0 <= now - started < LIFETIME


def refuse_replayed(call: Call, fields: Fields) -> None:
    """Refuse a response that says that the call was seen before: it was perhaps carried out."""
    if refusal_mark(fields)[0] == Code.REPLAYED.public:
        raise Refusal(Code.OUTCOME_UNKNOWN, f"{call.contact.id}: the nonce was already claimed")


def fields_for_app(call: Call, status: int, fields: Fields, *, streams: bool) -> tuple[Field, ...]:
    """Return the response's fields as the calling app gets them.

    Without cookies for more than the app that was called: its Portal should have dropped them.
    """
    restored = restored_after_travel(fields)
    own = (call.origin.host.encode("ascii"),)
    return tuple(passing_fields(call.method, status, restored, streams=streams, own=own))
