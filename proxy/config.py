"""portal.yaml: the Portal's own settings, read once at the start (docs/operating.md).

Everything that is wrong with the file is reported at once. What this module returns was checked:
names, hosts and addresses need no second look.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, PlainValidator, model_validator

from proxy.core.errors import Invalid, Problem
from proxy.core.identity import SHORT_ID_LENGTH, short_id
from proxy.core.names import name_problem
from proxy.core.origin import LAST_PORT, Origin, is_dns_label, parse_origin
from proxy.core.policy import MODES, Mode
from proxy.core.shape import PathText, Section, fit
from proxy.core.strict_yaml import parse_yaml
from proxy.core.text import shown
from proxy.source import read_source

FILE_NAME = "portal.yaml"

_PLACEHOLDER = "{short_id}"
_LONGEST_DOMAIN = 253 - len("a" * 63 + "." + "a" * SHORT_ID_LENGTH + ".")
_LONGEST_SOCKET_PATH = 107
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]{1,253}):(?P<port>[0-9]{1,5})")
_EVERY_HOST = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True)
class Address:
    """Where a listener listens: ``host`` and ``port`` (0: any free one), or a ``unix`` path."""

    host: str = ""
    port: int = 0
    unix: str = ""

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else f"{self.host}:{self.port}"

    def overlaps(self, other: "Address") -> bool:
        """Tell whether a listener here could be reached as the one at ``other``."""
        if self.unix or other.unix:
            return os.path.normpath(self.unix) == os.path.normpath(other.unix)
        same_host = self.host == other.host or not _EVERY_HOST.isdisjoint({self.host, other.host})
        return same_host and self.port == other.port != 0


@dataclass(frozen=True)
class Listen:
    """The three listeners."""

    public: Address
    apps: Address
    owner: Address


@dataclass(frozen=True)
class Config:
    """A Portal's settings; ``public_url`` may hold ``{short_id}``."""

    folder: Path
    name: str
    domain: str
    public_url: str
    aliases: tuple[str, ...]
    accept: frozenset[Mode]
    state: Path
    listen: Listen

    def public_origin(self, portal_id: str) -> Origin:
        """Return the scheme, host and port at which others reach this Portal."""
        return parse_origin(self.public_url.replace(_PLACEHOLDER, short_id(portal_id)))


def load_config(folder: Path) -> Config:
    """Read ``folder``/portal.yaml; raises ``Invalid`` with all its problems."""
    path = folder / FILE_NAME
    if not os.path.lexists(path):
        what = "there is no such file; `portal-proxy init` makes it"
        raise Invalid([Problem(str(path), "", what)])
    file = fit(str(path), _PortalFile, parse_yaml(str(path), read_source(path)))
    return Config(
        folder=folder,
        name=file.name,
        domain=file.domain,
        public_url=file.public_url or f"https://{_PLACEHOLDER}.{file.domain}",
        aliases=tuple(file.aliases or ()),
        accept=frozenset(file.accept or MODES),
        state=folder / file.state,
        listen=_placed(str(path), folder, file.listen),
    )


def parse_address(text: str) -> Address:
    """Read ``host:port`` or ``unix:path``; raises ``ValueError`` saying what is expected."""
    scheme, _, path = text.partition(":")
    if scheme == "unix":
        if not path:
            raise ValueError("expected a path after unix:")
        return Address(unix=path)
    match = _ADDRESS.fullmatch(text.lower())
    if match is None or int(match["port"]) > LAST_PORT:
        raise ValueError(f"expected host:port or unix:path, not {shown(text)}")
    return Address(match["host"], int(match["port"]))


def _placed(file: str, folder: Path, listen: "_ListenFile") -> Listen:
    """Return the addresses, socket paths taken from the file's folder; raises ``Invalid``."""
    placed = {}
    problems = []
    for name in _ListenFile.model_fields:
        address: Address = getattr(listen, name)
        if address.unix:
            address = Address(unix=str(folder / address.unix))
            if len(os.fsencode(address.unix)) > _LONGEST_SOCKET_PATH:
                what = f"expected a path of at most {_LONGEST_SOCKET_PATH} bytes"
                problems.append(Problem(file, f"listen.{name}", what))
        placed[name] = address
    if problems:
        raise Invalid(problems)
    return Listen(**placed)


def _name(text: str) -> str:
    problem = name_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def _domain(text: str) -> str:
    domain = text.lower()
    labels = domain.split(".")
    if not all(map(is_dns_label, labels)) or labels[-1].isdigit():
        raise ValueError(f"expected a domain such as p.getportal.org, not {shown(text)}")
    if len(domain) > _LONGEST_DOMAIN:
        raise ValueError(f"expected at most {_LONGEST_DOMAIN} characters: app and ID go before it")
    return domain


def _public_url(text: str) -> str:
    try:
        parse_origin(text.replace(_PLACEHOLDER, "a" * SHORT_ID_LENGTH))
    except ValueError:
        what = f"expected https://host[:port] or http://host[:port], not {shown(text)}"
        raise ValueError(f"{what}; the host may hold {_PLACEHOLDER}") from None
    return text


def _alias(text: str) -> str:
    try:
        parse_origin(f"http://{text}:80" if text.endswith("/") else f"http://{text}")
    except ValueError:
        raise ValueError(f"expected host or host:port, not {shown(text)}") from None
    return text.lower()


def _accept(modes: list[Mode]) -> list[Mode]:
    if not modes:
        raise ValueError("expected sealed, signed or both")
    return modes


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("expected host:port or unix:path")  # noqa: TRY004 - for pydantic
    return parse_address(value)


_Address = Annotated[Address, PlainValidator(_address)]


class _ListenFile(Section):
    public: _Address = Address("0.0.0.0", 8080)  # noqa: S104 - the world is who it is for
    apps: _Address = Address("127.0.0.1", 8081)
    owner: _Address = Address("127.0.0.1", 8082)

    @model_validator(mode="after")
    def _are_apart(self) -> "_ListenFile":
        """Refuse two listeners at one address: strangers could reach the owner's."""
        for one, other in (("public", "apps"), ("public", "owner"), ("apps", "owner")):
            if getattr(self, one).overlaps(getattr(self, other)):
                raise ValueError(f"{one} and {other} are the same address; expected two")
        return self


class _PortalFile(Section):
    name: Annotated[str, AfterValidator(_name)]
    domain: Annotated[str, AfterValidator(_domain)]
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    aliases: list[Annotated[str, AfterValidator(_alias)]] | None = None
    accept: Annotated[list[Mode], AfterValidator(_accept)] | None = None
    state: PathText = "../state"
    listen: _ListenFile = _ListenFile()
