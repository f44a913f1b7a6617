"""Where the listeners listen: ``listen`` of portal.yaml, checked and placed."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import PlainValidator, model_validator

from proxy.config.config_file import expand_home
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import LAST_PORT
from proxy.core.text_files.schema import Section
from proxy.core.text_files.shape import numbers, shaped
from proxy.core.text_files.text import shown

_LONGEST_SOCKET_PATH = 107
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]{1,253}):(?P<port>[0-9]{1,5})")
_EVERY_HOST = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - compared with, not bound to
_MODES = {"0600": 0o600, "0660": 0o660, "0666": 0o666}
OURS_ALONE = _MODES["0600"]
HOST_AND_PORT_SHAPE = (
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})"
    rf":(?=[0-9]{{1,5}}$)0*{numbers(0, LAST_PORT)}"
)
"""As ``parse_address`` has them, for JSON Schemas."""
UNIX_SHAPE = r"unix:[\s\S]+"

LISTENERS = ("public", "apps", "owner")


@dataclass(frozen=True)
class Address:
    """Where a listener listens: ``host`` and ``port`` (0: any free one), or a ``unix`` path."""

    host: str = ""
    port: int = 0
    unix: str = ""
    mode: int = OURS_ALONE
    """Of the socket's file: who may connect."""

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


def parse_address(text: str) -> Address:
    """Read ``host:port`` or ``unix:path``; raises ``ValueError`` saying what is expected."""
    scheme, _, path = text.partition(":")
    if scheme == "unix":
        if not path:
            raise ValueError("expected a path after unix:")
        return Address(unix=expand_home(path))
    match = _ADDRESS.fullmatch(text.lower())
    if match is None or int(match["port"]) > LAST_PORT:
        raise ValueError(f"expected host:port or unix:path, not {shown(text)}")
    return Address(match["host"], int(match["port"]))


def socket_path(folder: Path, path: str) -> str:
    """Return where a ``path`` taken from ``folder`` is, made short: a socket's has few bytes."""
    steps = Path(path).parts
    while steps and steps[0] == "..":
        folder, steps = folder.resolve().parent, steps[1:]
    return str(folder.joinpath(*steps))


def socket_path_problem(path: str) -> str:
    """Say what is wrong with the path of a socket; "" is nothing."""
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        return f"expected a path of at most {_LONGEST_SOCKET_PATH} bytes"
    return ""


def place(file: str, folder: Path, listen: "ListenFile") -> Listen:
    """Return the addresses, socket paths taken from the file's folder; raises ``Invalid``."""
    placed = {}
    problems = []
    for name in LISTENERS:
        address: Address = getattr(listen, name)
        mode: int | None = getattr(listen, f"{name}_mode")
        if address.unix:
            address = Address(unix=socket_path(folder, address.unix), mode=mode or OURS_ALONE)
            if what := socket_path_problem(address.unix):
                problems.append(Problem(file, f"listen.{name}", what))
        elif mode is not None:
            what = f"is for a socket's file, and {name} is at {address}"
            problems.append(Problem(file, f"listen.{name}_mode", what))
        placed[name] = address
    if problems:
        raise Invalid(problems)
    return Listen(**placed)


@shaped(
    {
        "type": "string",
        "pattern": rf"^(?:{UNIX_SHAPE}|{HOST_AND_PORT_SHAPE})$",
        "patternErrorMessage": "expected host:port or unix:path",
    }
)
def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("expected host:port or unix:path")  # noqa: TRY004 - for pydantic
    return parse_address(value)


@shaped(
    # YAML 1.2 reads an unquoted 0600 as the number 600, YAML 1.1 as 384.
    {"enum": [*_MODES, *map(int, _MODES), *_MODES.values()]}
)
def _mode(value: object) -> int:
    mode = _MODES.get(value) if isinstance(value, str) else None
    if mode is None:
        what = f", not {shown(value)}" if isinstance(value, str) else ""
        raise ValueError(f"expected 0600, 0660 (your group, too) or 0666 (everybody){what}")
    return mode


_Address = Annotated[Address, PlainValidator(_address)]
Mode = Annotated[int | None, PlainValidator(_mode)]


class ListenFile(Section):
    """Where the proxy listens: host:port, or unix:path from this file's folder."""

    public: _Address = Address("0.0.0.0", 8080)  # noqa: S104 - the world is who it is for
    public_mode: Mode = None
    apps: _Address = Address("127.0.0.1", 8081)
    apps_mode: Mode = None
    owner: _Address = Address("127.0.0.1", 8082)
    owner_mode: Mode = None

    @model_validator(mode="after")
    def _are_apart(self) -> "ListenFile":
        """Refuse two listeners at one address: strangers could reach the owner's."""
        for one, other in (("public", "apps"), ("public", "owner"), ("apps", "owner")):
            if getattr(self, one).overlaps(getattr(self, other)):
                raise ValueError(f"{one} and {other} are the same address; expected two")
        return self
