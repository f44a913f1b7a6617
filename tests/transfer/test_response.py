"""A response of our own, as ASGI sends it: with its length, and no body where none may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.core.http.problem import Response
from proxy.transfer.response import send_response

if TYPE_CHECKING:
    from starlette.types import Message

_LENGTH = [(b"content-length", b"3")]


@pytest.mark.parametrize(
    ("method", "status", "length", "body"),
    [
        (b"GET", 200, _LENGTH, b"abc"),
        (b"POST", 404, _LENGTH, b"abc"),
        (b"HEAD", 200, _LENGTH, b""),
        (b"GET", 204, [], b""),
        (b"GET", 304, [], b""),
    ],
)
async def test_it_is_whole_with_its_length(
    method: bytes, status: int, length: list[tuple[bytes, bytes]], body: bytes
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_response(send, Response(status, ((b"x-a", b"1"),), b"abc"), method)
    start, end = sent
    assert (start["status"], start["headers"]) == (status, [(b"x-a", b"1"), *length])
    assert (end["body"], end.get("more_body", False)) == (body, False)
