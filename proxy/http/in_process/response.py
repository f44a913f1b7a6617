"""What an app in this process answers, checked against what its head says."""

from dataclasses import dataclass

from starlette.types import Message

from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, Fields, refuse_malformed, values_of
from proxy.core.http1.framing import bodiless

_FINAL = range(200, 600)


@dataclass(frozen=True)
class Head:
    """The head of a response; names in lower case."""

    status: int
    fields: tuple[Field, ...]


class Body:
    """The body behind a head; what isn't the length that was announced raises ``ValueError``."""

    def __init__(self, method: bytes, head: Head) -> None:
        lengths = values_of(head.fields, b"content-length")
        if len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
            raise ValueError("the app's Content-Length isn't one number")
        self._is_bodiless = bodiless(method, head.status)
        self._left = int(lengths[0]) if lengths and not self._is_bodiless else None

    def take(self, message: Message) -> bytes:
        """Return what the message brings of the body: nothing where the response has none."""
        if self._is_bodiless:
            return b""
        piece = bytes(message.get("body", b""))
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise ValueError("the app's body is longer than it said")
            if self._left and not message.get("more_body", False):
                raise ValueError(f"the app's body is {self._left} bytes short")
        return piece


def read_head(message: Message) -> Head:
    """Return the head of a response; raises ``ValueError`` for one that can't be sent."""
    status = message["status"]
    if status not in _FINAL:
        raise ValueError(f"{status!r} is no final status")
    return Head(status, read_fields(message))


def read_fields(message: Message) -> tuple[Field, ...]:
    """Return the fields of an app's message; raises ``ValueError`` for what is none."""
    fields: Fields = tuple(
        (bytes(name).lower(), bytes(value).strip(b" \t"))
        for name, value in message.get("headers", ())
    )
    try:
        refuse_malformed(fields)
    except Refusal as refusal:
        raise ValueError(refusal.detail) from None
    return tuple(fields)
