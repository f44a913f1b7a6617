"""What of an app's response goes on, and a small response of our own as ASGI sends it."""

from collections.abc import Collection

from starlette.types import Send

from proxy.core.http.headers import Field, Fields, end_to_end_not_ours, index_of
from proxy.core.http.problem import Response
from proxy.core.http.set_cookie import reaches_beyond
from proxy.core.http1.framing import NO_BODY, bodiless
from proxy.core.terminals.cookie import sets_ours


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
    passing, by_name = end_to_end_not_ours(fields), index_of(fields)
    if b"set-cookie" in by_name:
        passing = [
            (name, value)
            for name, value in passing
            if name != b"set-cookie"
            or not (sets_ours(value) or (own and reaches_beyond(value, own)))
        ]
    lengths = by_name.get(b"content-length")
    if not lengths or b"transfer-encoding" in by_name:
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
    await send({"type": "http.response.start", "status": response.status, "headers": fields})
    body = b"" if bodiless(method, response.status) else response.body
    await send({"type": "http.response.body", "body": body})
