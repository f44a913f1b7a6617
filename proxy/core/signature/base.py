"""The signature base: the bytes that an HTTP message signature is made over (RFC 9421, section 2).

Builds what the RFC defines for the derived components and the parameters ``bs``, ``req`` and
``name``; anything else raises ``NotSignable``, so a verifier fails closed.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from proxy.core.http.headers import Fields, index_of, values_of
from proxy.core.signature.components import Component, Covered

__all__ = ["Component", "Covered", "Message", "NotSignable", "signature_base"]


class NotSignable(ValueError):
    """A component that isn't in the message, or has no defined value; the text says which."""


@dataclass(frozen=True)
class Message:
    """What a signature can cover of one HTTP message. A response has ``status``, a request not."""

    fields: Fields
    method: bytes = b""
    authority: str = ""
    target: bytes = b""
    """The request target in origin form, as on the wire."""
    scheme: str = "https"
    status: int | None = None

    def with_fields(self, fields: Fields) -> "Message":
        """Return the same message with these fields."""
        return Message(fields, self.method, self.authority, self.target, self.scheme, self.status)


def signature_base(
    components: Sequence[Component],
    signature_params: str,
    message: Message,
    request: Message | None = None,
) -> bytes:
    """Return the signature base, one ``identifier: value`` a line (RFC 9421, section 2.5).

    ``signature_params`` is the serialised inner list with its parameters. ``request`` is where
    components with ``;req`` are taken from. Raises ``NotSignable``.
    """
    covered = Covered.of(components)
    base = _plain_base(covered, signature_params, message, request)
    return base if base is not None else _any_base(covered, signature_params, message, request)


def _plain_base(
    covered: Covered, signature_params: str, message: Message, request: Message | None
) -> bytes | None:
    """Return what ``_any_base`` would; None where only that can tell, or has to refuse."""
    if covered.steps is None:
        return None
    ours = index_of(message.fields)
    theirs = index_of(request.fields) if request is not None else {}
    lines: list[bytes] = []
    for prefix, is_asked, derived, name, is_wrapped in covered.steps:
        if derived:
            source = request if is_asked else message
            if source is None or (source.status is None) is (derived == "@status"):
                return None
            try:
                lines.append(prefix + _PARTS[derived](source))
            except KeyError:
                return None
            continue
        values = (theirs if is_asked else ours).get(name)
        if values is None:
            return None
        if is_wrapped:
            values = [b":" + base64.b64encode(value.strip(b" \t")) + b":" for value in values]
        one = values[0] if len(values) == 1 else b", ".join(map(_stripped, values))
        lines.append(prefix + one.strip(b" \t"))
    lines.append(b'"@signature-params": ' + signature_params.encode("ascii"))
    base = b"\n".join(lines)
    is_clean = base.isascii() and b"\r" not in base and base.count(b"\n") == len(lines) - 1
    return base if is_clean else None


def _any_base(
    components: Covered, signature_params: str, message: Message, request: Message | None
) -> bytes:
    lines: list[bytes] = []
    if len(set(components)) != len(components):
        raise NotSignable("a component is covered twice")
    for component in components:
        identifier = component.identifier.encode("ascii")
        lines.append(identifier + b": " + _value(component, message, request))
    lines.append(b'"@signature-params": ' + signature_params.encode("ascii"))
    return b"\n".join(lines)


def _value(component: Component, message: Message, request: Message | None) -> bytes:
    if component.has("req"):
        if request is None:
            raise NotSignable(f"{component.identifier}: there is no request to take it from")
        message = request
    allowed = {"req", "name"} if component.name == "@query-param" else {"req", "bs"}
    for parameter, value in component.parameters:
        if parameter not in allowed or (parameter != "name" and value is not True):
            raise NotSignable(f"{component.identifier}: the parameter {parameter} isn't supported")
    if component.name.startswith("@"):
        return _derived(component, message)
    return _field(component, message)


def _field(component: Component, message: Message) -> bytes:
    """Return a field's value: its lines joined by ", ", or each wrapped whole where ``;bs`` is set.

    Without ``;bs``, two lines ``a`` and ``b`` and the one line ``a, b`` give the same bytes
    (RFC 9421, section 7.5.6): the profile decides which is right, this function only builds.
    A folded line is no value: whoever parsed the message has unfolded or refused it.
    """
    if component.name != component.name.lower():
        raise NotSignable(f"{component.identifier}: field names are in lower case here")
    values = values_of(message.fields, component.field_name)
    if not values:
        raise NotSignable(f"{component.identifier}: the message has no such field")
    if component.has("bs"):
        return b", ".join(b":" + base64.b64encode(value.strip(b" \t")) + b":" for value in values)
    value = b", ".join(value.strip(b" \t") for value in values)
    if not value.isascii() or b"\n" in value or b"\r" in value:
        raise NotSignable(f"{component.identifier}: its value can only be covered with ;bs")
    return value


def _derived(component: Component, message: Message) -> bytes:
    """Return the value of a derived component (RFC 9421, section 2.2)."""
    if component.has("bs"):
        raise NotSignable(f"{component.identifier}: ;bs is for fields")
    if component.name == "@status":
        if message.status is None:
            raise NotSignable('"@status": a request has none')
        return str(message.status).encode("ascii")
    if message.status is not None:
        raise NotSignable(f"{component.identifier}: a response has none")
    if component.name == "@query-param":
        return _query_parameter(component, message)
    try:
        return _REQUEST_PARTS[component.name](message)
    except KeyError:
        raise NotSignable(f"{component.identifier}: there is no such derived component") from None


def _query_parameter(component: Component, message: Message) -> bytes:
    query = message.target.partition(b"?")[2].decode("ascii", "replace")
    wanted = dict(component.parameters).get("name")
    values = [
        value
        for name, value in parse_qsl(query, keep_blank_values=True)
        if _form_encoded(name) == wanted
    ]
    if len(values) != 1:
        raise NotSignable(f"{component.identifier}: {len(values)} such parameters in the query")
    return _form_encoded(values[0]).encode("ascii")


def _form_encoded(text: str) -> str:
    return quote(text, safe="*").replace("~", "%7E")


def _authority(message: Message) -> str:
    default = {"http": ":80", "https": ":443"}[message.scheme]
    return message.authority.lower().removesuffix(default)


_REQUEST_PARTS: dict[str, Callable[[Message], bytes]] = {
    "@method": lambda message: message.method,
    "@authority": lambda message: _authority(message).encode("ascii"),
    "@scheme": lambda message: message.scheme.encode("ascii"),
    "@target-uri": lambda message: (
        f"{message.scheme}://{_authority(message)}".encode("ascii") + message.target
    ),
    "@request-target": lambda message: message.target,
    "@path": lambda message: message.target.partition(b"?")[0] or b"/",
    "@query": lambda message: b"?" + message.target.partition(b"?")[2],
}
_PARTS: dict[str, Callable[[Message], bytes]] = {
    **_REQUEST_PARTS,
    "@status": lambda message: str(message.status).encode("ascii"),
}


def _stripped(value: bytes) -> bytes:
    return value.strip(b" \t")
