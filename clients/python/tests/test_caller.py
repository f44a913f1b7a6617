"""Who calls, from whatever a framework gives; contradictions are never believed."""

import http.client
import io
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from portal_peers import ANONYMOUS, Caller, CallerUnclear, caller
from portal_peers.fake import _id_for

ID = _id_for("Bob")
FIELDS = [
    ("X-Ptl-Client-Type", "peer"),
    ("X-Ptl-Client-Id", ID),
    ("X-Ptl-Client-Name", "B%C3%B6b 100%25"),
]
BOB = Caller("peer", ID, "Böb 100%")


def scope(fields: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields],
    }


def environ(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """Return them as servers do: what stands twice is joined by commas."""
    told: dict[str, Any] = {"REQUEST_METHOD": "GET", "wsgi.version": (1, 0)}
    for name, value in fields:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        told[key] = f"{told[key]},{value}" if key in told else value
    return told


def message(fields: list[tuple[str, str]]) -> Message:
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields)
    return http.client.parse_headers(io.BytesIO(lines + b"\r\n"))


class MultiDict:
    """As aiohttp has them: ``getall`` raises where there is none."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def getall(self, name: str) -> list[str]:
        found = [value for each, value in self._fields if each.lower() == name]
        if not found:
            raise KeyError(name)
        return found


FORMS: dict[str, Any] = {
    "an ASGI scope": scope,
    "a WSGI environ": environ,
    "Starlette, FastAPI": lambda fields: Request(scope(fields)),
    "Django": lambda fields: SimpleNamespace(META=environ(fields), headers={}),
    "Flask": lambda fields: SimpleNamespace(environ=environ(fields), headers={}),
    "http.server": lambda fields: SimpleNamespace(headers=message(fields)),
    "aiohttp": lambda fields: SimpleNamespace(headers=MultiDict(fields)),
    "pairs": list,
    "pairs of bytes": lambda fields: [(n.encode(), v.encode()) for n, v in fields],
}
form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@form
def test_a_peer_is_told_with_id_and_name(form: Any) -> None:
    who = caller(form(FIELDS))
    assert who == BOB
    assert (who.is_peer, who.is_owner, who.is_anonymous) == (True, False, False)


@form
def test_a_device_is_the_owner_s(form: Any) -> None:
    told = [("X-Ptl-Client-Type", "terminal"), ("X-Ptl-Client-Id", "a1b2c3")]
    assert caller(form([*told, ("X-Ptl-Client-Name", "Phone")])).is_owner


@form
def test_without_the_fields_it_is_somebody_anonymous(form: Any) -> None:
    assert caller(form([])) == ANONYMOUS
    empty = [("X-Ptl-Client-Id", ""), ("X-Ptl-Client-Name", "")]
    assert caller(form([("X-Ptl-Client-Type", "anonymous"), *empty])) == ANONYMOUS


@form
@pytest.mark.parametrize(
    "fields",
    [
        [*FIELDS, ("X-Ptl-Client-Type", "terminal")],
        [*FIELDS, ("x-ptl-client-id", ID)],
        [("X-Ptl-Client-Type", "anonymous"), *FIELDS],
        FIELDS[1:],
        FIELDS[:1],
        [("X-Ptl-Client-Type", "peer"), ("X-Ptl-Client-Id", "")],
        [("X-Ptl-Client-Type", "Peer"), FIELDS[1]],
        [("X-Ptl-Client-Type", "owner"), FIELDS[1]],
        [("X-Ptl-Client-Type", "anonymous"), FIELDS[1]],
        [("X-Ptl-Client-Type", "peer"), ("X-Ptl-Client-Id", "../" + ID)],
    ],
)
def test_what_cannot_be_believed_is_an_error(form: Any, fields: list[tuple[str, str]]) -> None:
    with pytest.raises(CallerUnclear):
        caller(form(fields))


def test_a_mapping_of_fields_will_do() -> None:
    assert caller(dict(FIELDS)) == BOB
    with pytest.raises(CallerUnclear):
        caller({"x-ptl-client-type": ["peer", "peer"], "x-ptl-client-id": [ID]})


def test_what_is_no_request_is_an_error() -> None:
    with pytest.raises(TypeError):
        caller(object())


def test_a_name_that_is_no_text_is_shown_as_far_as_it_is() -> None:
    told = [*FIELDS[:2], ("X-Ptl-Client-Name", "%FFx")]
    assert caller(told).name == "\ufffdx"
