"""What is told of a call, or of a request, when the other side fails."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from proxy.core.access.policy import Contact
from proxy.core.errors import Code, Refusal
from proxy.core.identity import PrivateKey
from proxy.http.upstream import (
    ResponseReceiver,
    UpstreamExchange,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
)
from proxy.outbound.call import Call, CallContext
from proxy.outbound.identity_documents import Directory
from proxy.outbound.reachability import Reachability
from proxy.outbound.signed import SignedTransport
from proxy.transfer.failures import app_failed, untrusted
from tests.outbound.exchanges import Lower

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

KEY = PrivateKey(bytes(32))
PEER = Contact(KEY.public.portal_id, "Bob", "http://bob.example")


class Failing:
    """An engine that carries nothing out and says why."""

    def __init__(self, failure: UpstreamFailed) -> None:
        self._failure = failure
        self.asked = 0

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        del request
        self.asked += 1
        raise self._failure

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        self.asked += 1
        asyncio.get_running_loop().call_soon(receiver.exchange_failed, self._failure)
        return Lower(request, receiver)

    async def close(self) -> None:
        """Nothing is open."""


async def _pieces() -> AsyncIterator[bytes]:
    yield b"body"


@pytest.mark.parametrize(
    ("method", "timeout", "sent", "code"),
    [
        (b"GET", False, False, Code.PEER_UNREACHABLE),
        (b"GET", False, True, Code.PEER_UNREACHABLE),
        (b"PROPFIND", False, True, Code.PEER_UNREACHABLE),
        (b"POST", False, False, Code.PEER_UNREACHABLE),
        (b"POST", False, True, Code.OUTCOME_UNKNOWN),
        (b"post", False, True, Code.OUTCOME_UNKNOWN),
        (b"DELETE", False, True, Code.OUTCOME_UNKNOWN),
        (b"GET", True, True, Code.PEER_TIMEOUT),
        (b"GET", True, False, Code.PEER_TIMEOUT),
        (b"POST", True, False, Code.PEER_TIMEOUT),
        (b"POST", True, True, Code.OUTCOME_UNKNOWN_LATE),
    ],
)
async def test_a_failed_call_is_never_repeated_and_named_for_what_it_may_have_done(
    method: bytes,
    timeout: bool,  # noqa: ASYNC109, FBT001 - a fact about the failure, not a limit
    sent: bool,  # noqa: FBT001
    code: Code,
) -> None:
    upstream = Failing(UpstreamFailed("detail", timeout=timeout, sent=sent))
    reachability = Reachability(Directory(upstream))
    transport = SignedTransport(CallContext(KEY, upstream, reachability, time.time))
    call = Call("box", PEER, method, b"/x", (), has_body=True)

    with pytest.raises(Refusal) as refused:
        async with transport.carry_out(call, _pieces()):
            pytest.fail("a call that failed has no response")

    assert refused.value.code is code
    assert upstream.asked == 1
    assert await reachability.of([PEER]) == {PEER.id: False}
    assert upstream.asked == 1


@pytest.mark.parametrize(
    ("timeout", "sent", "code"),
    [
        (False, False, Code.APP_UNREACHABLE),
        (False, True, Code.APP_FAILED),
        (True, True, Code.APP_TIMEOUT),
        (True, False, Code.APP_TIMEOUT),
    ],
)
def test_an_apps_failure_is_told_from_its_absence(
    timeout: bool,  # noqa: FBT001 - a fact about the failure
    sent: bool,  # noqa: FBT001
    code: Code,
) -> None:
    assert app_failed(UpstreamFailed("detail", timeout=timeout, sent=sent)).code is code


@pytest.mark.parametrize(
    ("method", "code", "detail"),
    [
        (b"GET", Code.PEER_UNTRUSTED, "why"),
        (b"REPORT", Code.PEER_UNTRUSTED, "why"),
        (b"POST", Code.OUTCOME_UNKNOWN, "peer_untrusted: why"),
        (b"get", Code.OUTCOME_UNKNOWN, "peer_untrusted: why"),
    ],
)
def test_a_response_that_nobody_vouches_for_leaves_unknown_what_was_done(
    method: bytes, code: Code, detail: str
) -> None:
    told = untrusted("why", method)
    assert (told.code, told.detail) == (code, detail)
