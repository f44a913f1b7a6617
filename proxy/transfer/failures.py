"""What a failure of the other side amounts to, for whoever waits: 502, 504, or "perhaps done".

``UpstreamFailed`` becomes a refusal here.
"""

from proxy.core.errors import Code, Refusal
from proxy.http.upstream import UpstreamFailed

_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"REPORT"})
"""Methods that change nothing: a broken response leaves nothing unknown (RFC 9110, 9.2.1)."""


def is_safe(method: bytes) -> bool:
    """Tell whether a request with ``method`` changes nothing."""
    return method in _SAFE


def app_failed(failure: UpstreamFailed) -> Refusal:
    """Return what a client is told when our own app failed."""
    if failure.timeout:
        return Refusal(Code.APP_TIMEOUT, failure.detail)
    return Refusal(Code.APP_FAILED if failure.sent else Code.APP_UNREACHABLE, failure.detail)


def peer_failed(failure: UpstreamFailed, method: bytes, peer: str) -> Refusal:
    """Return what an app is told when its call got no response; ``peer`` names it for the log."""
    detail = f"{peer}: {failure.detail}"
    unknown = failure.sent and not is_safe(method)
    if failure.timeout:
        return Refusal(Code.OUTCOME_UNKNOWN_LATE if unknown else Code.PEER_TIMEOUT, detail)
    return Refusal(Code.OUTCOME_UNKNOWN if unknown else Code.PEER_UNREACHABLE, detail)


def unusable(refusal: Refusal, method: bytes) -> Refusal:
    """Return what a response that can't be used amounts to: the call was perhaps carried out."""
    if is_safe(method):
        return refusal
    return Refusal(Code.OUTCOME_UNKNOWN, f"{refusal.code.public}: {refusal.detail}")


def untrusted(detail: str, method: bytes) -> Refusal:
    """Return what a response that nobody vouches for amounts to."""
    return unusable(Refusal(Code.PEER_UNTRUSTED, detail), method)
