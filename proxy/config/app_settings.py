"""proxy.yaml: what the owner says of one app, above all where it listens.

Only here can an app be behind a unix socket, TLS or another machine's address: an author's file
says no more than a port of the app's own container.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator

from proxy.config.authorities import read_authorities
from proxy.config.config_file import HomePath, expand_home, is_there, read_config_file
from proxy.config.entrance import Entrance, parse_entrance, place_entrance
from proxy.config.listen import (
    HOST_AND_PORT_SHAPE,
    UNIX_SHAPE,
    Address,
    Mode,
    socket_path,
    socket_path_problem,
)
from proxy.config.timeouts import Silence
from proxy.core.app_fields import DEFAULT_POLICY, FieldPolicy
from proxy.core.errors import Invalid, Problem
from proxy.core.http.forwarded import Scheme
from proxy.core.http.headers import TOKEN, is_token, spelling
from proxy.core.http.origin import authority_shape, origin_shape, parse_origin
from proxy.core.text_files.schema import Section, validate
from proxy.core.text_files.shape import shaped
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.core.text_files.text import shown
from proxy.http.upstream import Destination

FILE_NAME = "proxy.yaml"

_UNIX = "unix:"
_MINOR = {"1.0": 0, "1.1": 1}


@dataclass(frozen=True)
class Settings:
    """The owner's settings of one app."""

    upstream: Destination | None = None
    """None leaves it to the author's file."""
    token_file: Path | None = None
    answer_timeout: float | None = None
    """Seconds that the app may be silent; None as all apps."""
    host: bytes | None = None
    """What the app is told as its ``Host``; None is the one that was asked for."""
    fields: FieldPolicy = DEFAULT_POLICY
    """What it gets of a client's fields."""
    minor: int | None = None
    """The 1 of HTTP/1.1 or the 0 of HTTP/1.0, which it speaks; None finds out."""
    peer_scheme: Scheme = "http"
    """By which scheme it is told that peers ask it."""
    entrance: Entrance | None = None
    """Where the app alone comes in; None where it shares the apps listener."""
    device_tokens: bool = False
    """Whether devices that are no browsers come in by a token of theirs."""
    sources: frozenset[Path] = frozenset()
    """Files beside proxy.yaml that these settings were read from."""


def load_settings(folder: Path) -> Settings:
    """Read the settings of the app in ``folder``; raises ``Invalid`` with every problem."""
    path = folder / FILE_NAME
    if not is_there(path):
        return Settings()
    file = validate(str(path), SettingsFile, parse_yaml(str(path), read_config_file(path)))
    problems: list[Problem] = []
    kind: type[Invalid] = Invalid
    authorities = ""
    if file.upstream_ca is not None:
        if file.upstream is None or not file.upstream.startswith("https:"):
            what = "says whom to believe that the app is the app, which only an https upstream asks"
            problems.append(Problem(str(path), "upstream_ca", what))
        try:
            authorities = read_authorities(folder / file.upstream_ca)
        except Invalid as invalid:
            kind = type(invalid)
            problems += invalid.problems
    upstream = _destination(folder, file.upstream, authorities) if file.upstream else None
    if upstream is not None and (what := socket_path_problem(upstream.unix)):
        problems.append(Problem(str(path), "upstream", what))
    asks_token = file.entrance_token == "required"  # noqa: S105 - a word of ours
    entrance = place_entrance(
        str(path), folder, file.entrance, file.entrance_mode, problems, asks_token=asks_token
    )
    if problems:
        raise kind(problems)
    return Settings(
        upstream,
        folder / file.token_file if file.token_file is not None else None,
        file.app_answer,
        host=file.host.encode("ascii") if file.host is not None else None,
        fields=FieldPolicy(
            underscores=file.underscores == "pass",
            dropped=frozenset(spelling(name.encode("ascii")) for name in file.drop_fields),
        ),
        minor=_MINOR[file.http] if file.http is not None else None,
        peer_scheme=file.peer_scheme,
        entrance=entrance,
        device_tokens=file.device_tokens == "true",
        sources=frozenset({folder / file.upstream_ca} if file.upstream_ca is not None else ()),
    )


def _destination(folder: Path, upstream: str, authorities: str) -> Destination:
    if upstream.startswith(_UNIX):
        path = socket_path(folder, upstream.removeprefix(_UNIX))
        return Destination.at_socket(path, folder.name)
    return Destination(parse_origin(upstream), authorities=authorities)


@shaped(
    {
        "pattern": f"^(?:{UNIX_SHAPE}|{origin_shape()})$",
        "patternErrorMessage": "expected http://host:port, https://host:port or unix:path",
    }
)
def _upstream(text: str) -> str:
    if text.startswith(_UNIX):
        if len(text) == len(_UNIX):
            raise ValueError("expected a path after unix:")
        return _UNIX + expand_home(text.removeprefix(_UNIX))
    try:
        parse_origin(text)
    except ValueError:
        expected = "http://host:port, https://host:port or unix:path"
        raise ValueError(f"expected {expected}, not {shown(text)}") from None
    return text.lower()


@shaped({"pattern": f"^{authority_shape()}$", "patternErrorMessage": "expected host or host:port"})
def _host(text: str) -> str:
    """Check a ``Host`` as an app is told it. It stays as it is written: some look at its case."""
    with suppress(ValueError):
        parse_origin(f"http://{text}")
        if not text.endswith("/"):
            return text
    raise ValueError(f"expected host or host:port, not {shown(text)}")


@shaped(
    {
        "type": "string",
        "pattern": rf"^(?:{UNIX_SHAPE}|{HOST_AND_PORT_SHAPE})$",
        "patternErrorMessage": "expected host:port or unix:path",
    }
)
def _entrance(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("expected host:port or unix:path")  # noqa: TRY004 - for pydantic
    return parse_entrance(value)


@shaped(
    {
        "pattern": f"^{TOKEN.decode('ascii')}$",
        "patternErrorMessage": "expected the name of a field",
    }
)
def _field_name(text: str) -> str:
    if not is_token(text):
        raise ValueError(f"expected the name of a field, not {shown(text)}")
    return text


class SettingsFile(Section):
    """The schema of proxy.yaml."""

    upstream: Annotated[str, AfterValidator(_upstream)] | None = None
    upstream_ca: HomePath | None = None
    token_file: HomePath | None = None
    entrance: Annotated[Address | None, PlainValidator(_entrance)] = None
    entrance_mode: Mode = None
    entrance_token: Literal["none", "required"] = "none"  # noqa: S105 - as above
    app_answer: Silence | None = None
    host: Annotated[str, AfterValidator(_host)] | None = None
    http: Literal["1.0", "1.1"] | None = None
    peer_scheme: Scheme = "http"
    underscores: Literal["drop", "pass"] = "drop"
    drop_fields: list[Annotated[str, AfterValidator(_field_name)]] = Field(default_factory=list)
    device_tokens: Literal["true", "false"] = "false"
