"""What becomes of our own bugs, and what is none of them."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.core.errors import Code
from proxy.core.log_line import RequestLine
from proxy.http.upstream import UpstreamFailed
from proxy.transfer.catch_all import CatchAll, InternalErrors


class Sent(list[Message]):
    """What was sent."""

    async def __call__(self, message: Message) -> None:
        self.append(message)


async def test_a_mistake_before_the_response_is_a_500_in_the_log_and_the_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent, line = Sent(), RequestLine()
    async with InternalErrors(line, b"GET", sent):
        raise ZeroDivisionError
    assert [message.get("status") for message in sent] == [500, None]
    assert b'"internal"' in sent[1]["body"]
    assert line.code == Code.INTERNAL.public
    assert "ZeroDivisionError" in caplog.text


async def test_to_head_the_500_has_no_body() -> None:
    sent = Sent()
    async with InternalErrors(RequestLine(), b"HEAD", sent):
        raise ZeroDivisionError
    assert sent[1] == {"type": "http.response.body", "body": b""}


async def test_a_response_that_had_begun_gets_no_second_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent, line = Sent(), RequestLine()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it has to be raised within
        async with InternalErrors(line, b"GET", sent) as send:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ZeroDivisionError
    assert len(sent) == 1
    assert line.code == ""
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [UpstreamFailed("it broke off"), asyncio.CancelledError()])
async def test_what_is_no_mistake_passes(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    sent = Sent()
    with pytest.raises(type(error)):
        async with InternalErrors(RequestLine(), b"GET", sent):
            raise error
    assert not sent
    assert not caplog.records


async def test_only_http_is_served() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send

    async def receive() -> Message:
        return {}

    with pytest.raises(RuntimeError, match="websocket isn't served"):
        await CatchAll(app)({"type": "websocket"}, receive, Sent())
