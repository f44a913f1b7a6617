"""Who calls: read from what the Portal's proxy tells the app with each request."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import unquote

CallerType = Literal["peer", "terminal", "anonymous"]

TYPE, ID, NAME = "x-ptl-client-type", "x-ptl-client-id", "x-ptl-client-name"
_FIELDS = (TYPE, ID, NAME)
_IN_CGI = {f"HTTP_{name.upper().replace('-', '_')}": name for name in _FIELDS}
_WHO = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ALL_OF = ("getlist", "getall", "get_list", "get_all")


class CallerUnclear(ValueError):
    """The fields that tell the caller contradict each other, or stand twice.

    The proxy sends each once, so somebody reached the app past it, or a server on the way adds
    some. Let the request fail.
    """


@dataclass(frozen=True)
class Caller:
    """Who sent a request, as the proxy proved it."""

    type: CallerType = "anonymous"
    id: str = ""
    """Of a peer its full Portal ID, of a terminal its own; "" for somebody anonymous."""
    name: str = ""
    """What the owner calls the peer or the device. It changes: key nothing by it."""

    @property
    def is_peer(self) -> bool:
        """Whether it is the same app on another Portal."""
        return self.type == "peer"

    @property
    def is_owner(self) -> bool:
        """Whether it is a device of the Portal's owner."""
        return self.type == "terminal"

    @property
    def is_anonymous(self) -> bool:
        return self.type == "anonymous"


ANONYMOUS = Caller()


def caller(request: object) -> Caller:
    """Return who sent ``request``.

    That is a request of Starlette, FastAPI, Flask, Django, aiohttp, Quart, Tornado or
    ``http.server``, an ASGI scope, a WSGI environ, or header fields as a mapping or in pairs.
    Without the fields it is somebody anonymous; raises ``CallerUnclear`` where they can't be
    believed.
    """
    found = _fields_of(request)
    kind, who, name = (_one(found[field], field) for field in _FIELDS)
    if kind == "":
        if who or name:
            raise CallerUnclear(f"{ID} or {NAME} without {TYPE}")
        return ANONYMOUS
    if kind == "anonymous":
        if who or name:
            raise CallerUnclear("An anonymous caller has neither ID nor name.")
        return ANONYMOUS
    if kind not in {"peer", "terminal"}:
        raise CallerUnclear(f"{TYPE} is {kind[:40]!r}, which isn't a kind of caller")
    if _WHO.fullmatch(who) is None:
        raise CallerUnclear(f"{ID} of a {kind} isn't an ID: {who[:40]!r}")
    return Caller(cast("CallerType", kind), who, unquote(name, errors="replace"))


def _one(values: list[str], field: str) -> str:
    if len(values) > 1:
        raise CallerUnclear(f"{field} stands {len(values)} times")
    return values[0].strip(" \t") if values else ""


def _fields_of(request: Any) -> dict[str, list[str]]:  # noqa: ANN401 - any framework's
    for attribute in ("META", "environ"):  # Django; Flask and werkzeug
        environ = getattr(request, attribute, None)
        if isinstance(environ, Mapping):
            return _from_environ(environ)
    scope = getattr(request, "scope", request)
    if isinstance(scope, Mapping):
        if isinstance(scope.get("headers"), list | tuple) and "type" in scope:
            return _from_pairs(scope["headers"])
        if "wsgi.version" in scope or "REQUEST_METHOD" in scope:
            return _from_environ(scope)
    headers = getattr(request, "headers", request)
    for name in _ALL_OF:
        every = getattr(headers, name, None)
        if callable(every):
            return {field: _all(every, field) for field in _FIELDS}
    if isinstance(headers, Mapping):
        return _from_pairs(headers.items())
    if isinstance(headers, list | tuple):
        return _from_pairs(headers)
    raise TypeError(f"{type(request).__name__} isn't a request whose header fields can be read")


def _all(every: Callable[..., Iterable[object] | None], field: str) -> list[str]:
    try:
        return [_text(value) for value in every(field) or ()]
    except KeyError:
        return []  # aiohttp's, where there is none


def _from_environ(environ: Mapping[str, object]) -> dict[str, list[str]]:
    return {
        field: [_text(environ[key])] if key in environ else [] for key, field in _IN_CGI.items()
    }


def _from_pairs(pairs: Iterable[tuple[object, object]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {field: [] for field in _FIELDS}
    for name, value in pairs:
        lower = _text(name).lower()
        if lower in found:
            several = value if isinstance(value, list | tuple) else (value,)
            found[lower] += map(_text, several)
    return found


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
