"""What can go wrong with a call, as exceptions.

``Refused`` means that a proxy said no, and its subclasses why: they go by the ``code`` of the
refusal. What the *peer's app* answers, be it 404 or 500, is a response and raises nothing.
"""

import json
from typing import ClassVar, Literal, Self

import httpx

By = Literal["portal", "peer"]

READS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT"})
"""Methods that change nothing, as the proxy sees it; after any other a call may have done so."""

_OWN, _PEERS = "portal-refusal", "portal-peer-refusal"
"""Fields that a Portal adds to refusals. It takes both off what peers and their apps answer."""

_TEMPORARY = frozenset({
    "out_of_time", "request_timeout", "too_many_requests", "rate_limited", "app_busy",
    "too_many_connections", "internal", "app_unreachable", "app_failed", "app_timeout",
    "app_unavailable", "contacts_unavailable", "peer_unreachable", "peer_untrusted",
    "peer_timeout", "outcome_unknown", "replayed", "envelope_broken", "replay_store_down",
    "storage_full", "token_unknown",
})  # fmt: skip
"""The same call may pass later, without anybody having changed it."""
_PERHAPS = frozenset({
    "answer_too_large", "app_failed", "app_timeout", "envelope_broken", "internal",
    "outcome_unknown", "redirects_to_itself", "replayed",
})  # fmt: skip
"""Somebody got the call, or a part of it, before it was refused."""


class PortalError(Exception):
    """Anything that this package raises of its own."""

    is_retriable: bool = False
    """Whether the same call may be sent again later: it can pass then, and wasn't carried out.

    That is what the two Portals say. Somebody between them can have a spoilt copy of a call
    refused, and deliver the good one: what must not happen twice has an ID of the app's own.
    """
    perhaps_carried_out: bool = False
    """Whether the peer's app may have done what was asked, though there is no response."""


class NotConfigured(PortalError):
    """The environment, or an argument, doesn't tell where the Portal is or with which token."""


class PortalUnreachable(PortalError):
    """There is no connection to the app's own Portal; nothing was sent."""

    is_retriable = True


class NotAPortal(PortalError):
    """What answers where the Portal should be isn't one, or is one of another kind."""


class RedirectRefused(PortalError):
    """A redirect led away from the peer's app, or needs a body again that is spent."""


class CallFailed(PortalError):
    """The connection to the app's own Portal failed in the middle of a call."""

    def __init__(self, told: str, method: str = "") -> None:
        super().__init__(told)
        self.method = method
        self.perhaps_carried_out = method not in READS
        self.is_retriable = method in READS

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (str(self), self.method)


class CallTimedOut(CallFailed):
    """Nothing moved for longer than the client waits."""


class CallBrokenOff(CallFailed):
    """It broke off. What came of the response, if anything did, is no response."""


class Refused(PortalError):
    """A proxy refused the call: the app's own Portal's, or the peer's."""

    codes: ClassVar[frozenset[str]] = frozenset()
    """The codes for which this class is raised."""

    def __init__(
        self,
        code: str,
        status: int,
        title: str = "",
        *,
        by: By = "portal",
        call: str = "",
        retry_after: float | None = None,
        response: httpx.Response | None = None,
    ) -> None:
        who = "The peer's Portal" if by == "peer" else "The Portal"
        about = f" {call}" if call else ""
        super().__init__(f"{who} refused{about}: {title or 'no reason given.'} ({code}, {status})")
        self.code = code
        """Stable, such as ``peer_unreachable``; the sentence with it isn't."""
        self.status = status
        self.title = title
        self.by: By = by
        """Which proxy: ``portal`` is the app's own."""
        self.call = call
        """Method and path."""
        self.retry_after = retry_after
        """Seconds after which it may be tried again, where that was told."""
        self.response = response
        """The response with the refusal, its body perhaps cut short."""
        is_read = call.partition(" ")[0] in READS
        self.perhaps_carried_out = code in _PERHAPS and not is_read
        self.is_retriable = code in _TEMPORARY and not self.perhaps_carried_out

    @property
    def request_id(self) -> str:
        """By this the owner finds the request in the Portal's log."""
        return self.response.headers.get("x-request-id", "") if self.response else ""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        told = (self.code, self.status, self.title, self.by, self.call, self.retry_after)
        return _restored, (type(self), *told)


class TokenRefused(Refused):
    """The Portal wants the app's token, and had none or a wrong one."""

    codes = frozenset({"token_required", "token_unknown"})


class NoSuchPeer(Refused):
    """No peer that the app may know has this ID."""

    codes = frozenset({"no_such_peer", "not_a_peer_host"})


class NoSuchApp(Refused):
    """The peer's Portal doesn't have this app."""

    codes = frozenset({"no_such_app"})


class NotAllowed(Refused):
    """The peer's owner hasn't allowed this Portal for the app, or the path isn't for peers."""

    codes = frozenset({"not_allowed"})


class CallNotCarried(Refused):
    """No proxy carries such a call: its path, a field or its size must be another."""

    codes = frozenset({
        "bad_target", "bad_field", "bad_request", "not_found", "method_not_allowed",
        "request_timeout", "length_required", "too_large", "target_too_long", "head_too_large",
        "version_unsupported", "upgrade_unsupported", "cannot_hold", "answer_too_large",
        "from_a_browser", "bad_tunnel", "write_http", "no_internet", "device_token_refused",
    })  # fmt: skip


class Busy(Refused):
    """Too much runs at once, or comes too fast; ``retry_after`` may say when to try again."""

    codes = frozenset({"too_many_requests", "rate_limited", "app_busy", "too_many_connections"})


class PeerUnavailable(Refused):
    """The peer's Portal can't be reached, or gave no response that can be believed."""

    codes = frozenset({"peer_unreachable", "peer_untrusted", "peer_timeout"})


class AppUnavailable(Refused):
    """The peer's Portal is there, its app isn't, or broke off."""

    codes = frozenset({"app_unreachable", "app_failed", "app_timeout", "loop_detected"})


class PortalInTrouble(Refused):
    """One of the two Portals can't do its work just now; its owner must look."""

    codes = frozenset({
        "contacts_unavailable", "app_unavailable", "storage_full", "replay_store_down", "internal",
    })  # fmt: skip


class PortalsDisagree(Refused):
    """The two Portals don't agree on keys, addresses, modes or the time; the owners must look."""

    codes = frozenset({
        "mode_not_accepted", "no_sealing_key", "proof_required", "signature_malformed",
        "signature_coverage", "signature_invalid", "out_of_time", "key_mismatch",
        "wrong_recipient", "wrong_envelope", "digest_mismatch", "misdirected",
        "redirects_to_itself",
    })  # fmt: skip


class OutcomeUnknown(Refused):
    """The call was perhaps carried out. Ask the peer's app before you repeat it."""

    codes = frozenset({"outcome_unknown", "replayed", "envelope_broken"})


_CLASSES = (
    TokenRefused, NoSuchPeer, NoSuchApp, NotAllowed, CallNotCarried, Busy, PeerUnavailable,
    AppUnavailable, PortalInTrouble, PortalsDisagree, OutcomeUnknown,
)  # fmt: skip
BY_CODE: dict[str, type[Refused]] = {code: each for each in _CLASSES for code in each.codes}
"""For each code its class; a code that isn't here is a plain ``Refused``."""


def refusal_in(response: httpx.Response) -> tuple[str, By] | None:
    """Return with which code ``response`` refuses, and whose proxy; None: the app answered."""
    if code := response.headers.get(_OWN):
        return code.partition(";")[0], "portal"
    if code := response.headers.get(_PEERS):
        return code.partition(";")[0], "peer"
    return None


def refused(response: httpx.Response, body: bytes, call: str) -> Refused:
    """Return the exception for a response that refuses, of whose body ``body`` was read."""
    code, by = refusal_in(response) or ("", "portal")
    told = response.headers.get("retry-after", "")
    return BY_CODE.get(code, Refused)(
        code,
        response.status_code,
        _told_in(body),
        by=by,
        call=call,
        retry_after=float(told) if told.isascii() and told.isdigit() else None,
        response=response,
    )


def _told_in(body: bytes) -> str:
    """Return the sentences of a problem for a person; HEAD gets none."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(members, dict):
        return ""
    told = (members.get("title"), members.get("detail"))
    return " ".join(each for each in told if isinstance(each, str))


def failed(error: httpx.TransportError, method: str) -> PortalError:
    """Return what a failure on the way to the app's own Portal means for the call."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return PortalUnreachable(f"There is no connection to the Portal: {error or repr(error)}")
    if isinstance(error, httpx.TimeoutException):
        return CallTimedOut("Nothing came from the Portal for too long.", method)
    return CallBrokenOff(f"The call broke off: {error or repr(error)}", method)


def _restored(
    kind: type[Refused],
    code: str,
    status: int,
    title: str,
    by: By,
    call: str,
    retry_after: float | None,
) -> Refused:
    return kind(code, status, title, by=by, call=call, retry_after=retry_after)
