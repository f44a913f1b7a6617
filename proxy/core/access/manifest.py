"""An app's own file, app.json or app_meta.json of any version, as access rules and an upstream.

The file is a stranger's: it may only say which of the app's paths ask for what, which fields the
app gets, and which port of its own it listens on. Never which host: a file that names one could
turn the proxy against the owner's listener or the network behind it.
"""

from dataclasses import dataclass

from proxy.core.access.manifest_schema import (
    NEWER,
    SECTIONS,
    VERSIONS,
    Authentication,
    ContainerEntrypoint,
    EntrypointsSchema,
    FirstSchema,
    Kind,
    ManifestSchema,
    PathRule,
    newest_below,
    reads_as_address,
)
from proxy.core.access.policy import Access
from proxy.core.access.rules import Rule, Rules
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import Origin
from proxy.core.text_files.schema import validate
from proxy.core.text_files.strict_json import parse_json
from proxy.core.text_files.text import listed, shown, step


@dataclass(frozen=True)
class Manifest:
    """What the proxy takes from an app's file."""

    rules: Rules
    upstream: Origin | None
    """Where the app listens, or None where the file doesn't say."""
    notices: tuple[Problem, ...] = ()
    """What the owner should know though the file can be used."""


def parse_manifest(file: str, app: str, kind: Kind, data: bytes) -> Manifest:
    """Read an app's file; ``app`` is its folder's name. Raises ``Invalid`` with every problem."""
    value = parse_json(file, data)
    if not isinstance(value, dict):
        raise Invalid([Problem(file, "", "expected an object, {...}")])
    schema, newest = _schema(file, kind, value)
    unread = [key for key in SECTIONS if key in value and key not in schema.model_fields]
    if newest is not None and unread:
        raise Invalid([_unread_section(file, key, newest) for key in unread])
    content = validate(file, schema, value)
    reader = _Reader(file, app)
    reader.note_version(value, newest)
    reader.note_name(value)
    reader.note_unread(value, unread)
    rules = (
        reader.first_rules(content)
        if isinstance(content, FirstSchema)
        else reader.rules(content.paths)
    )
    upstream = reader.upstream(content)
    return Manifest(rules, upstream, tuple(reader.notices))


def _unread_section(file: str, key: str, newest: str) -> Problem:
    what = f'isn\'t known in this version; what is known ends with "{newest}", which has none'
    return Problem(file, key, what)


def _schema(
    file: str, kind: Kind, value: dict[str, object]
) -> tuple[type[ManifestSchema], str | None]:
    """Return the schema that the file's ``v`` names; without one, app.json has the first.

    Of a version that is newer than those that are known, also the one that it is read as.
    """
    schemas = VERSIONS[kind]
    known = listed([f'"{version}"' for version in schemas])
    if "v" not in value:
        if kind == "app.json":
            return schemas["0.0"], None
        raise Invalid([Problem(file, "v", f"is missing; expected {known}")])
    version = value["v"]
    if not isinstance(version, str):
        what = f"the version is text in quotes; expected {known}"
        raise Invalid([Problem(file, "v", what)])
    if version in schemas:
        return schemas[version], None
    newest = newest_below(kind, version)
    if newest is None:
        raise Invalid([Problem(file, "v", f"{shown(version)} isn't known; expected {known}")])
    return NEWER.get(schemas[newest], schemas[newest]), newest


class _Reader:
    """Takes rules and upstream from one file, and notes what the owner should know."""

    def __init__(self, file: str, app: str) -> None:
        self.notices: list[Problem] = []
        self._file = file
        self._app = app

    def _note(self, place: str, what: str) -> None:
        self.notices.append(Problem(self._file, place, what))

    def note_version(self, value: dict[str, object], newest: str | None) -> None:
        if newest is not None:
            what = f'{shown(str(value["v"]))} is newer than what is known; it is read as "{newest}"'
            self._note("v", what)

    def note_unread(self, value: dict[str, object], unread: list[str]) -> None:
        for key in unread:
            self._note(key, "is ignored: this version has other keys for access and routing")
        if value.get("oidc"):
            what = (
                "is ignored: this proxy offers no log-in by OpenID Connect. The app is told who "
                "calls in X-Ptl-Client-Type and X-Ptl-Client-Id"
            )
            self._note("oidc", what)

    def note_name(self, value: dict[str, object]) -> None:
        name = value.get("name", self._app)
        if name != self._app:
            given = shown(name) if isinstance(name, str) else "no text"
            self._note("name", f"{given}, but the app's name is its folder's, {self._app}")

    def _note_slashes(self, accesses: dict[str, Access], section: str) -> None:
        """Note where two rules differ though many apps serve one page for both."""
        for prefix, access in accesses.items():
            other = accesses.get(prefix + "/")
            if prefix and other not in (None, access):
                what = (
                    f"differs from {prefix}/ in access; at that page, with its last slash and"
                    " without, the stricter holds, since many apps take both for one"
                )
                self._note(step(section, prefix), what)

    def rules(self, paths: dict[str, PathRule]) -> Rules:
        if "" not in paths:
            self._note("paths", 'no rule for "", so what no other rule matches is private')
        self._note_slashes({prefix: rule.access for prefix, rule in paths.items()}, "paths")
        return Rules(
            tuple(
                Rule(prefix.encode("ascii"), rule.access, tuple((rule.headers or {}).items()))
                for prefix, rule in paths.items()
            )
        )

    def first_rules(self, content: FirstSchema) -> Rules:
        """Return the first schema's rules: where a path stands in two lists, the stricter holds."""
        given = content.authentication or Authentication()
        by_prefix = {"": given.default_access}
        for access, prefixes in (
            (Access.PUBLIC, given.public_paths),
            (Access.PEER, given.peer_paths),
            (Access.PRIVATE, given.private_paths),
        ):
            for prefix in prefixes or ():
                other = by_prefix.get(prefix, access)
                by_prefix[prefix] = max(other, access)
                if other != access:
                    what = f"stands for two kinds of access; {by_prefix[prefix].name.lower()} holds"
                    self._note(step("authentication", prefix), what)
        self._note_slashes(by_prefix, "authentication")
        return Rules(tuple(Rule(p.encode("ascii"), access) for p, access in by_prefix.items()))

    def upstream(self, content: ManifestSchema) -> Origin | None:
        if isinstance(content, EntrypointsSchema):
            return self._entrypoint(content)
        return self._own_port("port", content.port) if content.port is not None else None

    def _own_port(self, place: str, port: int) -> Origin | None:
        if reads_as_address(self._app):
            self._note(place, f"{self._app} would be read as an address, not as the app's host")
            return None
        return Origin("http", self._app, port)

    def _entrypoint(self, content: EntrypointsSchema) -> Origin | None:
        found: list[Origin | None] = []
        for index, entrypoint in enumerate(content.entrypoints):
            place = step("entrypoints", index)
            if entrypoint.entrypoint_port != "http":
                what = f"{shown(entrypoint.entrypoint_port)} isn't served, only 'http' is"
                self._note(place, what)
            elif isinstance(entrypoint, ContainerEntrypoint):
                found.append(Origin("http", entrypoint.container_name, entrypoint.container_port))
            else:
                found.append(self._own_port(place, entrypoint.container_port))
        if len(found) > 1:
            self._note("entrypoints", "more than one is 'http', so none of them is taken")
        return found[0] if len(found) == 1 else None
