"""The engine: one app for whatever is asked, and what it leaves running."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.core.http.origin import parse_origin
from proxy.http.in_process.engine import AsgiUpstream
from proxy.http.upstream import Destination, UpstreamFailed, UpstreamRequest
from tests.http.in_process.messages import ask, body, start
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell what kind of scope came, and for which path."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    await send(start())
    await send(body(f"{scope['type']} {scope['path']}".encode()))


async def fetch(engine: AsgiUpstream, request: UpstreamRequest) -> bytes:
    """Return the whole body of a response."""
    async with engine.send(request) as response:
        assert response.status == 200
        return b"".join([piece async for piece in response.pieces()])


@pytest.mark.parametrize("to", ["http://elsewhere.example:81", "https://app.example"])
async def test_every_request_goes_to_the_app_wherever_it_is_addressed(to: str) -> None:
    engine = AsgiUpstream(echo)
    request = UpstreamRequest(Destination(parse_origin(to)), b"GET", b"/x", ())
    assert await fetch(engine, request) == b"http /x"
    await engine.close()


@pytest.mark.parametrize(
    ("upgrade", "status"), [(b"websocket", 101), (b"h2c", 200), (b"websocket, h2c", 200)]
)
async def test_a_handshake_is_a_websocket_and_nothing_else_is(upgrade: bytes, status: int) -> None:
    engine = AsgiUpstream(echo)
    fields = ((b"upgrade", upgrade), (b"sec-websocket-key", b"x" * 24))
    async with engine.send(ask(*fields)) as response:
        assert response.status == status
    await engine.settle(10)
    await engine.close()


async def test_two_requests_run_at_once() -> None:
    arrived: list[str] = []
    both = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.append(scope["path"])
        if len(arrived) == 2:
            both.set()
        await both.wait()
        await echo(scope, receive, send)

    engine = AsgiUpstream(app)

    each = (fetch(engine, ask(target=path)) for path in (b"/a", b"/b"))
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*each) == [b"http /a", b"http /b"]
    await engine.close()


async def test_settling_waits_for_what_an_app_still_does_but_not_for_ever() -> None:
    ends = asyncio.Event()
    done: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        await ends.wait()
        done.append("done")

    engine = AsgiUpstream(app)
    await fetch(engine, ask())
    await engine.settle(0.01)
    assert done == []
    ends.set()
    await engine.settle(10)
    assert done == ["done"]
    await engine.settle(10)  # with nothing to wait for


async def test_closing_cuts_off_what_still_runs() -> None:
    cut: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append("cut")
            raise

    engine = AsgiUpstream(app)
    await fetch(engine, ask())
    await engine.close()
    assert cut == ["cut"]
    await engine.close()  # once more does nothing


async def test_a_failure_leaves_no_task_behind() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        raise ZeroDivisionError

    before = asyncio.all_tasks()
    engine = AsgiUpstream(app)
    with pytest.raises(UpstreamFailed, match="ZeroDivisionError"):
        async with engine.send(ask()):
            pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_who_is_cancelled_while_waiting_tells_the_app() -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        while (message := await receive())["type"] != "http.disconnect":
            pass
        told.append(message["type"])

    engine = AsgiUpstream(app)

    async def once() -> None:
        async with engine.send(ask()):
            pass

    asking = asyncio.create_task(once())
    await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait((asking,))
    await engine.settle(10)
    assert told == ["http.disconnect"]
