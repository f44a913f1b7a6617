"""terminals.yaml and pairing.yaml as text: read with every problem at once, and written.

Both tell the version of their format, ``v``: what a later one adds is refused here, and never lost
by being read in part and written again. Both are at their second: in terminals.yaml a device may
have a token for one app, in pairing.yaml a code has a link's form too. One of the first is read. A
list without such tokens is written as the first, which earlier programs read. What we write begins
with a checksum. Neither file holds a token or a code, only SHA-256 of them.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import AfterValidator, PlainValidator

from proxy.core.display_names import name_problem
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.core.terminals.pairing_code import OpenCode, Pairing, WrongTry
from proxy.core.terminals.terminals import Terminal, TerminalList, is_terminal_id
from proxy.core.text_files.schema import Section, validate
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.core.text_files.text import refuse_later_version, shown, step
from proxy.state.checksum import check_intact, with_checksum

VERSION = 2
_FIRST = 1
PAIRING_VERSION = 2
_TERMINALS_HEAD = """\
# The owner's devices. Commands and the proxy write this file: comments in it aren't kept.
# To change it: `portal-proxy terminals rename`, `portal-proxy terminals remove`.
"""
_PAIRING_HEAD = """\
# Pairing codes that are open, and wrong tries of the last minute. Don't write it by hand.
"""
_DAMAGED_TERMINALS = "put a backup in its place, or delete it and pair your devices again"
_DAMAGED_PAIRING = "delete the file: open codes are lost, and nothing else"
_LONG_LINE = 1 << 16
_LONGEST_ADDRESS = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOMENT = re.compile(r"0|[1-9][0-9]{0,10}")

_T = TypeVar("_T")


def _matching(pattern: re.Pattern[str], expected: str, made: Callable[[str], _T]) -> PlainValidator:
    """Return a validator that takes a text of this pattern, and gives what ``made`` makes of it."""

    def read(value: object) -> _T:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            kind = shown(value) if isinstance(value, str) else "a list or keys with values"
            raise ValueError(f"expected {expected}, not {kind}")
        return made(value)

    return PlainValidator(read)


def _check_id(text: str) -> str:
    if not is_terminal_id(text):
        raise ValueError(f"{shown(text)} isn't the ID of a terminal (6 characters)")
    return text


def _check_name(text: str) -> str:
    problem = name_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def _check_app(text: str) -> str:
    if not is_dns_label(text):
        raise ValueError(f"{shown(text)} isn't the name of an app")
    return text


def _check_address(text: str) -> str:
    if not text.isascii() or not 0 < len(text) <= _LONGEST_ADDRESS:
        raise ValueError("expected an address or a network")
    return text


_Digest = Annotated[bytes, _matching(_DIGEST, "64 hexadecimal digits", bytes.fromhex)]
_Moment = Annotated[int, _matching(_MOMENT, "Unix seconds", int)]


class _FirstTerminalEntry(Section):
    id: Annotated[str, AfterValidator(_check_id)]
    name: Annotated[str, AfterValidator(_check_name)]
    token_sha256: _Digest
    paired: _Moment
    seen: _Moment


class _TerminalEntry(_FirstTerminalEntry):
    app: Annotated[str, AfterValidator(_check_app)] | None = None
    """None for a browser."""


class _FirstTerminalsFile(Section):
    v: Literal["1"]
    terminals: list[_FirstTerminalEntry]


class _TerminalsFile(Section):
    v: Literal["2"]
    terminals: list[_TerminalEntry]


class _FirstCodeEntry(Section):
    sha256: _Digest
    made: _Moment


class _CodeEntry(_FirstCodeEntry):
    link_sha256: _Digest | None = None
    """None where an older version gave the code out."""


class _TryEntry(Section):
    address: Annotated[str, AfterValidator(_check_address)]
    at: _Moment


class _FirstPairingFile(Section):
    v: Literal["1"]
    codes: list[_FirstCodeEntry]
    tries: list[_TryEntry]


class _PairingFile(Section):
    v: Literal["2"]
    codes: list[_CodeEntry]
    tries: list[_TryEntry]


def parse_terminals(file: str, data: bytes) -> TerminalList:
    """Read terminals.yaml; raises ``Invalid`` with every problem.

    ``terminals`` must be there: an emptied file doesn't mean that there are none.
    """
    check_intact(file, data, _DAMAGED_TERMINALS)
    tree = _of_known_version(file, parse_yaml(file, data), VERSION)
    is_first = isinstance(tree, dict) and tree.get("v") == "1"
    entries: Sequence[_FirstTerminalEntry]
    if is_first:
        entries = validate(file, _FirstTerminalsFile, tree).terminals
    else:
        entries = validate(file, _TerminalsFile, tree).terminals
    terminals = tuple(Terminal(**entry.model_dump(exclude_none=True)) for entry in entries)
    problems = [
        *_repeated(file, "id", [terminal.id for terminal in terminals]),
        *_repeated(file, "token_sha256", [terminal.token_sha256.hex() for terminal in terminals]),
    ]
    if problems:
        raise Invalid(problems)
    return TerminalList(terminals)


def serialise_terminals(terminals: TerminalList) -> bytes:
    """Write the list as the file's bytes; ``parse_terminals`` of them gives the same list."""
    entries = [
        {
            "id": terminal.id,
            "name": terminal.name,
            "token_sha256": terminal.token_sha256.hex(),
            "paired": terminal.paired,
            "seen": terminal.seen,
            **({"app": terminal.app} if terminal.app else {}),
        }
        for terminal in terminals.terminals
    ]
    return _written(_TERMINALS_HEAD, {"v": version_of(terminals), "terminals": entries})


def version_of(terminals: TerminalList) -> int:
    """Return the version of the form in which this list is written."""
    return VERSION if any(terminal.app for terminal in terminals.terminals) else _FIRST


def parse_pairing(file: str, data: bytes) -> Pairing:
    """Read pairing.yaml; raises ``Invalid`` with every problem."""
    check_intact(file, data, _DAMAGED_PAIRING)
    tree = _of_known_version(file, parse_yaml(file, data), PAIRING_VERSION)
    codes: list[OpenCode]
    if isinstance(tree, dict) and tree.get("v") == "1":
        first = validate(file, _FirstPairingFile, tree)
        codes, tries = [OpenCode(entry.sha256, entry.made) for entry in first.codes], first.tries
    else:
        read = validate(file, _PairingFile, tree)
        codes = [OpenCode(e.sha256, e.made, e.link_sha256 or b"") for e in read.codes]
        tries = read.tries
    return Pairing(tuple(codes), tuple(WrongTry(entry.address, entry.at) for entry in tries))


def serialise_pairing(pairing: Pairing) -> bytes:
    """Write the codes and tries as the file's bytes."""
    codes = [_written_code(code) for code in pairing.codes]
    tries = [{"address": each.address, "at": each.at} for each in pairing.tries]
    return _written(_PAIRING_HEAD, {"v": PAIRING_VERSION, "codes": codes, "tries": tries})


def _written_code(code: OpenCode) -> dict[str, object]:
    entry: dict[str, object] = {"sha256": code.sha256.hex(), "made": code.made}
    return {**entry, "link_sha256": code.link_sha256.hex()} if code.link_sha256 else entry


def _written(head: str, tree: dict[str, object]) -> bytes:
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=_LONG_LINE)
    return with_checksum((head + text).encode())


def _of_known_version(file: str, tree: object, newest: int) -> object:
    """Return ``tree``; of a later form nothing is told but that: it may be right."""
    if isinstance(tree, dict):
        refuse_later_version(file, tree.get("v"), newest)
    return tree


def _repeated(file: str, key: str, values: list[str]) -> Iterable[Problem]:
    first: dict[str, str] = {}
    for index, value in enumerate(values):
        place = step("terminals", index)
        if value in first:
            yield Problem(file, f"{place}.{key}", f"is that of {first[value]} too")
        first.setdefault(value, place)
