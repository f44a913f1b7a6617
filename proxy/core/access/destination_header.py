"""The second target of a request: where ``COPY`` and ``MOVE`` of WebDAV write to.

An app acts on ``Destination`` as it acts on the target, so it is judged like one, whatever the
method. It goes on as it came, but for its host in a peer's call: there it is written as the
app's Host is, since an app takes any other for another server's.

Stores of objects, and tus, have fields of their own by which an upload is made of what they have
already; what those name is told apart by nobody but them.
Source: RFC 4918, sections 10.3 and 8.3 (a path, or a whole URI).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from proxy.core.access.hosts import Hosts
from proxy.core.access.target import Target, parse_target
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields, spelling

FIELD = b"destination"

_SOURCES = frozenset(
    {
        # S3 and those after it; Azure; Swift
        b"x-amz-copy-source", b"x-goog-copy-source", b"x-oss-copy-source", b"x-obs-copy-source",
        b"x-cos-copy-source", b"x-bce-copy-source", b"x-tos-copy-source", b"x-ms-copy-source",
        b"x-ms-rename-source", b"x-copy-from", b"x-object-manifest",
        b"x-symlink-target",
    }
)  # fmt: skip
_CONCAT = b"upload-concat"
_OF_ONE_PART = b"partial"
_AT_HOST = re.compile(
    rb"(https?://([A-Za-z0-9._-]{1,253})):[0-9]{0,5}((?:[/?#].*)?)", re.IGNORECASE | re.DOTALL
)
_REFERENCE = re.compile(rb"(?:https?://([^/?#]*))?((?:/|\?|\Z).*)", re.IGNORECASE | re.DOTALL)


def names_source(fields: Fields) -> bool:
    """Tell whether a field names something else at the app that is copied, moved or linked to."""
    return any(
        _is_source(name) and (spelling(name) != _CONCAT or value.strip().lower() != _OF_ONE_PART)
        for name, value in fields
    )


@lru_cache(maxsize=1024)
def _is_source(name: bytes) -> bool:
    key = spelling(name)
    return key in _SOURCES or key == _CONCAT


def parse_destination(
    lines: Sequence[bytes], app: str, hosts: Hosts, *, ascii_only: bool = True
) -> Target:
    """Return the target that ``Destination`` names at ``app``; raises ``Refusal`` (``BAD_FIELD``).

    ``lines`` are the field's values. Two of them, another host than the app's, and what is refused
    as a target would each be read by some app in its own way. ``ascii_only`` is ``parse_target``'s.
    """
    match = _REFERENCE.fullmatch(lines[0])
    if len(lines) != 1 or match is None or not lines[0]:
        raise Refusal(Code.BAD_FIELD, f"Destination isn't one URI or path: {lines[0][:200]!r}")
    authority, target = match[1], match[2]
    if authority is not None and not hosts.leads_to(authority, app):
        host = authority.rpartition(b"@")[2]
        raise Refusal(Code.BAD_FIELD, f"Destination is at {host[:200]!r}, not at {app}")
    try:
        path = target if target.startswith(b"/") else b"/" + target
        return parse_target(path, ascii_only=ascii_only)
    except Refusal as refusal:
        raise Refusal(Code.BAD_FIELD, f"Destination: {refusal.detail}") from None


def without_port(fields: Fields, host: str) -> Fields:
    """Return a call's fields with a ``Destination`` at ``host``, the one called, without its port.

    As the target's is: the port of a peer is its Portal's business.
    """
    return _with_destination(fields, lambda value: _without_port(value, host))


def at_told_origin(fields: Fields, app: str, hosts: Hosts, told: bytes) -> Fields:
    """Return what ``app`` gets of a peer's call, with a ``Destination`` of its own at ``told``.

    That is the scheme and the authority by which the app is told that it is asked.
    """
    return _with_destination(fields, lambda value: _at(value, app, hosts, told))


def _with_destination(fields: Fields, change: Callable[[bytes], bytes]) -> Fields:
    return [(name, change(value) if name == FIELD else value) for name, value in fields]


def _without_port(value: bytes, host: str) -> bytes:
    match = _AT_HOST.fullmatch(value)
    if match is None or match[2].lower() != host.encode("ascii"):
        return value
    before: bytes = match[1]
    return before + match[3]


def _at(value: bytes, app: str, hosts: Hosts, told: bytes) -> bytes:
    match = _REFERENCE.fullmatch(value)
    if match is None or match[1] is None or not hosts.leads_to(match[1], app):
        return value
    return told + match[2]
