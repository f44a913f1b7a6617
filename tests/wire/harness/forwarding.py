"""What the proxy tells an app of the way by which a request came."""

from __future__ import annotations

from tests.wire.harness.raw import LOOPBACK, Raw

NAMES = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id")


def forwarding(host: str, request_id: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields of a request from a client on this machine, without TLS."""
    values = (LOOPBACK, "http", host, f'for={LOOPBACK};host="{host}";proto=http')
    pairs = zip(NAMES, (*(value.encode() for value in values), request_id), strict=True)
    return [(name.encode(), value) for name, value in pairs]


def told(request: Raw) -> dict[str, list[bytes]]:
    """Return the values of every line of each of these fields."""
    return {name: request.all(name) for name in NAMES}
