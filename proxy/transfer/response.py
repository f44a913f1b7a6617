"""Sending responses: whole, buffered or as a stream, with the framing that each of them needs.

Every way out ends here, so what may never leave (a body after HEAD, a length that isn't the
body's, a stream that broke off and looks whole) is settled once.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable

from starlette.types import Message, Send

from proxy.core.http.headers import Field, Fields, end_to_end_not_ours, values_of
from proxy.core.http.problem import Response
from proxy.core.http.set_cookie import reaches_beyond
from proxy.core.http1.framing import NO_BODY, bodiless
from proxy.core.terminals.cookie import sets_ours
from proxy.http.scope import INTERIM
from proxy.http.upstream import Ending
from proxy.transfer.buffered_body import BufferedBody


def passing_fields(
    method: bytes,
    status: int,
    fields: Fields,
    *,
    streams: bool = False,
    own: Collection[bytes] = (),
) -> list[Field]:
    """Return the fields of an app's response that go on, as they came and in their order.

    ``Content-Length`` is among them where it describes what isn't sent (HEAD, 304), and where the
    body streams through as it comes. The cookie of the owner's devices is ours to set: an app that
    could would let a browser in for another one. Nor may one be for more than the hosts in
    ``own``, by which the app is reached; () where nobody knows them.
    """
    passing = end_to_end_not_ours(fields)
    if values_of(fields, b"set-cookie"):
        passing = [
            (name, value)
            for name, value in passing
            if name != b"set-cookie"
            or not (sets_ours(value) or (own and reaches_beyond(value, own)))
        ]
    lengths = values_of(fields, b"content-length")
    if not lengths or values_of(fields, b"transfer-encoding"):
        return passing
    is_described = status != 204 if bodiless(method, status) else streams  # noqa: PLR2004 - 8.6
    if is_described:
        # In its one form: "007" is refused by whoever reads strictly behind us, a peer among them.
        passing.append((b"content-length", b"%d" % int(lengths[0])))
    return passing


async def send_response(send: Send, response: Response, method: bytes) -> None:
    """Send a small response whole."""
    fields = list(response.fields)
    if response.status not in NO_BODY:
        fields.append((b"content-length", str(len(response.body)).encode("ascii")))
    await _start(send, response.status, fields)
    body = b"" if bodiless(method, response.status) else response.body
    await send({"type": "http.response.body", "body": body})


async def send_buffered(
    send: Send, status: int, fields: Iterable[Field], buffered: BufferedBody, method: bytes
) -> None:
    """Send a response with a buffered body; ``fields`` have a ``content-length`` that must stay."""
    complete = list(fields)
    if not bodiless(method, status):
        complete.append((b"content-length", str(buffered.size).encode("ascii")))
        await _start(send, status, complete)
        async for piece in buffered.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    else:
        await _start(send, status, complete)
    await send({"type": "http.response.body", "body": b""})


async def nothing_follows(pieces: AsyncIterator[bytes]) -> None:
    """Wait for the end of a response that has no body, while another can still be given."""
    async for _ in pieces:
        pass


async def send_stream(
    send: Send, status: int, fields: Iterable[Field], pieces: AsyncIterator[bytes]
) -> None:
    """Send a response as its pieces come. What breaks off is raised, and breaks the connection."""
    await _start(send, status, fields)
    is_over = pieces.is_over if isinstance(pieces, Ending) else _never
    has_more = True
    while has_more:
        message = await _next_part(pieces, is_over)
        has_more = message["more_body"]
        sending = send(message)
        del message  # so that no piece is kept here while a slow client takes it
        await sending


async def _next_part(pieces: AsyncIterator[bytes], is_over: Callable[[], bool]) -> Message:
    try:
        piece = await anext(pieces)
    except StopAsyncIteration:
        return {"type": "http.response.body", "body": b"", "more_body": False}
    return {"type": "http.response.body", "body": piece, "more_body": not is_over()}


def _never() -> bool:
    return False


async def send_interim(send: Send, own: Collection[bytes], status: int, fields: Fields) -> None:
    """Pass on an interim response, to a server that has the extension for it.

    ``own`` is as in ``passing_fields``.
    """
    passing = passing_fields(b"GET", status, fields, own=own)
    await send({"type": INTERIM, "status": status, "headers": passing})


async def _start(send: Send, status: int, fields: Iterable[Field]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})
