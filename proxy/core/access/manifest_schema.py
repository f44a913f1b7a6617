"""What may stand in app.json and app_meta.json, as far as access and routing go, by version.

Three schemas: the first (``authentication``), ``paths`` with a ``port``, ``paths`` with
``entrypoints``. Keys beside these are the app store's business; inside them every key is ours,
because a misspelt ``private_paths`` would open what its author meant to close. A version that has a
higher minor number than the known ones of its major is read as the newest of them, if nothing in
what we read is new.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, PlainValidator

from proxy.core.access.policy import Access
from proxy.core.access.template import TEMPLATE_SHAPE, Template
from proxy.core.http.headers import TOKEN, is_token, spelling
from proxy.core.http.origin import LAST_PORT
from proxy.core.text_files.schema import OpenSection, Section
from proxy.core.text_files.shape import any_case, shaped
from proxy.core.text_files.text import shown

MAX_PREFIXES = 1000
MAX_FIELDS = 32
_LONGEST_NAME = 128

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()+,=:@/-]*)?")
_DOT_OR_EMPTY_SEGMENT = re.compile(r"//|/\.{1,2}(?:/|\Z)")
_CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VERSION = re.compile(r"(?P<major>0|[1-9][0-9]{0,3})\.(?P<minor>0|[1-9][0-9]{0,3})")
_ADDRESS = re.compile(r"[0-9]+|0x[0-9a-f]*|localhost", re.IGNORECASE)

_HOPS_AND_OURS = frozenset(
    {
        *(b"host", b"connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"keep-alive", b"expect", b"http2-settings"),
        *(b"signature", b"signature-input", b"repr-digest"),
    }
)
"""Fields that route or frame a request, and those that carry a proof."""

_HOPS_AND_OURS_BEGIN = (b"content-", b"portal-", b"proxy-", b"sec-websocket-")


def reads_as_address(host: str) -> bool:
    """Tell whether one word leads to an address without a look-up: 2130706433 is 127.0.0.1."""
    return _ADDRESS.fullmatch(host) is not None


def _in_any_spelling(names: Iterable[bytes]) -> str:
    """Return a pattern for what ``spelling`` makes one of ``names``."""
    alternatives = (
        any_case(name.decode("ascii")).replace("-", "[^A-Za-z0-9]") for name in sorted(names)
    )
    return f"(?:{'|'.join(alternatives)})"


@shaped(
    {
        "maxLength": _LONGEST_NAME,
        "pattern": (
            f"^(?!{_in_any_spelling(_HOPS_AND_OURS)}$)(?!{_in_any_spelling(_HOPS_AND_OURS_BEGIN)})"
            rf"{TOKEN.decode('ascii')}$"
        ),
        "patternErrorMessage": (
            "expected a header name that isn't the connection's or the proxy's: Content-..., "
            "Portal-..., Proxy-..., Host, Signature and so on can't be set"
        ),
    }
)
def _field_name(name: str) -> str:
    if not is_token(name) or len(name) > _LONGEST_NAME:
        raise ValueError("expected a header name: letters, digits and hyphens (RFC 9110, 5.1)")
    key = spelling(name.encode("ascii"))
    if key in _HOPS_AND_OURS or key.startswith(_HOPS_AND_OURS_BEGIN):
        raise ValueError("this header belongs to the connection or the proxy; expected another")
    return name


@shaped({"maxProperties": MAX_FIELDS})
def _headers(headers: dict[str, Template]) -> dict[str, Template]:
    if len(headers) > MAX_FIELDS:
        raise ValueError(f"expected at most {MAX_FIELDS} headers")
    seen: dict[bytes, str] = {}
    for name in headers:
        other = seen.setdefault(spelling(name.encode("ascii")), name)
        if other != name:
            raise ValueError(f"{shown(other)} and {shown(name)} are one header to many servers")
    return headers


@shaped(TEMPLATE_SHAPE)
def _template(value: object) -> Template:
    if not isinstance(value, str):
        raise ValueError("expected text")  # noqa: TRY004 - pydantic reports ValueError only
    return Template.parse(value)


@shaped(
    {
        "pattern": rf"^(?![\s\S]*//)(?![\s\S]*/\.{{1,2}}(?:/|$)){_PREFIX.pattern}$",
        "patternErrorMessage": (
            'expected a path prefix: "", or "/" and then letters, digits and '
            '-._~!$&\'()+,=:@/, without "//" and without the segments . and ..'
        ),
    }
)
def _prefix(prefix: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            'expected a path prefix: "", or "/" and then letters, digits and -._~!$&\'()+,=:@/'
            " (no pattern, no query, nothing percent-encoded)"
        )
    if _DOT_OR_EMPTY_SEGMENT.search(prefix):
        raise ValueError('expected a path prefix without "//" and without the segments . and ..')
    return prefix


@shaped({"enum": ["public", "peer", "private"]})
def _access(value: object) -> Access:
    if value not in ("public", "peer", "private"):
        given = shown(value) if isinstance(value, str) else "anything else"
        raise ValueError(f"expected 'public', 'peer' or 'private', not {given}")
    return Access[str(value).upper()]


@shaped(
    {
        "pattern": (
            f"^(?!(?:[0-9]+|0[Xx][0-9A-Fa-f]*|{any_case('localhost')})$){_CONTAINER_NAME.pattern}$"
        ),
        "patternErrorMessage": "expected a container's name, which is no address",
    }
)
def _container_name(name: str) -> str:
    # No dots and no address: the proxy would reach whatever host the app's author likes.
    if not _CONTAINER_NAME.fullmatch(name) or reads_as_address(name):
        raise ValueError(f"expected a container's name, not {shown(name)}")
    return name.lower()


@shaped({"minimum": 1, "maximum": LAST_PORT})
def _port(port: int) -> int:
    if not 1 <= port <= LAST_PORT:
        raise ValueError(f"expected a port from 1 to {LAST_PORT}, not {port}")
    return port


_FieldName = Annotated[str, AfterValidator(_field_name)]
_HeaderTemplate = Annotated[Template, PlainValidator(_template)]
_Headers = Annotated[dict[_FieldName, _HeaderTemplate], AfterValidator(_headers)]
_Prefix = Annotated[str, AfterValidator(_prefix)]
_Access = Annotated[Access, PlainValidator(_access)]
_ContainerName = Annotated[str, AfterValidator(_container_name)]
_Port = Annotated[int, AfterValidator(_port)]


class Authentication(Section):
    """The first schema's rules. A list that is null or missing is empty."""

    default_access: _Access = Access.PRIVATE
    public_paths: list[_Prefix] | None = None
    private_paths: list[_Prefix] | None = None
    peer_paths: list[_Prefix] | None = None


class FirstSchema(OpenSection):
    """app.json without ``v``, or 0.0."""

    v: str = "0.0"
    port: _Port | None = None
    authentication: Authentication | None = None


class PathRule(Section):
    """What holds under one prefix."""

    access: _Access
    headers: _Headers | None = None


@shaped({"maxProperties": MAX_PREFIXES})
def _bounded(paths: dict[str, PathRule]) -> dict[str, PathRule]:
    if len(paths) > MAX_PREFIXES:
        raise ValueError(f"expected at most {MAX_PREFIXES} prefixes")
    return paths


_Paths = Annotated[dict[_Prefix, PathRule], AfterValidator(_bounded)]


class PortSchema(OpenSection):
    """app.json 1.0 to 3.2."""

    v: str
    paths: _Paths
    port: _Port | None = None


class AppEntrypoint(OpenSection):
    """A port of the app's own container; app.json 4.0."""

    container_port: _Port
    entrypoint_port: str


class EntrypointSchema(OpenSection):
    """app.json 4.0."""

    v: str
    paths: _Paths
    entrypoints: list[AppEntrypoint]


class ContainerEntrypoint(AppEntrypoint):
    """A port of one of the app's containers; app_meta.json."""

    container_name: _ContainerName


class ContainerSchema(OpenSection):
    """app_meta.json 1.0 to 1.3."""

    v: str
    paths: _Paths
    entrypoints: list[ContainerEntrypoint]


class NewerAppEntrypoint(AppEntrypoint):
    """The same in a version that isn't known: a key may change what the others mean."""

    model_config = ConfigDict(extra="forbid")


class NewerEntrypointSchema(OpenSection):
    """app.json 4.1 and later."""

    v: str
    paths: _Paths
    entrypoints: list[NewerAppEntrypoint]


class NewerContainerEntrypoint(ContainerEntrypoint):
    """As ``NewerAppEntrypoint``."""

    model_config = ConfigDict(extra="forbid")


class NewerContainerSchema(OpenSection):
    """app_meta.json 1.4 and later."""

    v: str
    paths: _Paths
    entrypoints: list[NewerContainerEntrypoint]


Kind = Literal["app.json", "app_meta.json"]
EntrypointsSchema = (
    EntrypointSchema | NewerEntrypointSchema | ContainerSchema | NewerContainerSchema
)
ManifestSchema = FirstSchema | PortSchema | EntrypointsSchema

VERSIONS: dict[Kind, dict[str, type[ManifestSchema]]] = {
    "app.json": {
        "0.0": FirstSchema,
        **dict.fromkeys(("1.0", "2.0", "3.0", "3.1", "3.2"), PortSchema),
        "4.0": EntrypointSchema,
    },
    "app_meta.json": dict.fromkeys(("1.0", "1.1", "1.2", "1.3"), ContainerSchema),
}
NEWER: dict[type[ManifestSchema], type[ManifestSchema]] = {
    EntrypointSchema: NewerEntrypointSchema,
    ContainerSchema: NewerContainerSchema,
}
"""How a schema is read in a version that isn't known; those that aren't here as they are."""
SECTIONS = ("authentication", "paths", "port", "entrypoints")
"""What any version says of access and routing."""


def newest_below(kind: Kind, version: str) -> str | None:
    """Return the newest known version of the same major; None unless it has a lower minor."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    known = [each for each in VERSIONS[kind] if each.partition(".")[0] == match["major"]]
    newest = max(known, key=_minor, default=None)
    return newest if newest is not None and _minor(newest) < int(match["minor"]) else None


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
