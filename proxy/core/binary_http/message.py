"""What a message in binary form is made of, for those who write one and those who read one."""

from dataclasses import dataclass

from proxy.core.http.headers import Field
from proxy.core.http1.grammar import Malformed
from proxy.core.record import record

__all__ = ["COMPLETE", "Complete", "Malformed", "RequestHead", "ResponseHead"]


@record(frozen=True, slots=True)
class RequestHead:
    """A request's head; names of ``fields`` in lower case, values without surrounding space."""

    method: bytes
    scheme: bytes
    authority: bytes
    target: bytes
    """The path with its query, if it has one: the request target in origin form."""
    fields: tuple[Field, ...]


@record(frozen=True, slots=True)
class ResponseHead:
    """A final response's head."""

    status: int
    """From 200 to 599."""
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Complete:
    """Content and trailers were terminated. Only zeros may follow, so it isn't the end yet."""


COMPLETE = Complete()
