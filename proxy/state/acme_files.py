"""What is kept of a certificate that the proxy got for itself: account, certificate, last failure.

All of it is in one folder. Losing it costs nothing but asking anew, so no backup holds it. The
certificate and its key are one file, so that neither is ever there with another one's other half.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.core.errors import Invalid, Problem
from proxy.core.text_files.strict_json import parse_json
from proxy.core.text_files.text import refuse_later_version
from proxy.state.files import delete, read_file, write_atomically

VERSION = "1"
_LONGEST_REASON = 1000


@dataclass(frozen=True)
class Account:
    """Who we are to one authority."""

    directory: str
    """Whose account it is."""
    uri: str
    key: str
    """PEM."""


@dataclass(frozen=True)
class Failure:
    """Why no certificate was got, and when that is tried again."""

    reason: str
    at: int
    """Unix seconds."""
    times: int
    """How often in a row."""
    next_try: int


def read_account(path: Path, directory: str) -> Account | None:
    """Return the account at ``directory``; None where there is none, or another authority's.

    Raises ``Invalid`` for a file that can't be read: a new account is never made over one that
    may be good.
    """
    found = _read(path, {"v", "directory", "uri", "key"})
    if found is None:
        return None
    if not all(isinstance(value, str) for value in found.values()):
        raise Invalid([Problem(str(path), "", _DAMAGED)])
    if found["directory"] != directory:
        return None
    return Account(found["directory"], found["uri"], found["key"])


def write_account(path: Path, account: Account) -> None:
    """Keep the account, in the place of any other; raises ``OSError``."""
    members = {"directory": account.directory, "uri": account.uri, "key": account.key}
    write_atomically(path, json.dumps({"v": VERSION, **members}).encode("ascii"))


def read_failure(path: Path) -> Failure | None:
    """Return the last failure; None where the last try succeeded, or nobody can tell."""
    try:
        found = _read(path, {"v", "reason", "at", "times", "next_try"})
    except Invalid:
        return None
    if found is None or not isinstance(found["reason"], str):
        return None
    numbers = [found[name] for name in ("at", "times", "next_try")]
    if not all(type(number) is int and number >= 0 for number in numbers):
        return None
    return Failure(found["reason"][:_LONGEST_REASON], *numbers)


def write_failure(path: Path, failure: Failure) -> None:
    """Keep it, so that a start doesn't ask again before its time; raises ``OSError``."""
    members = {
        "reason": failure.reason[:_LONGEST_REASON],
        "at": failure.at,
        "times": failure.times,
        "next_try": failure.next_try,
    }
    write_atomically(path, json.dumps({"v": VERSION, **members}).encode("ascii"))


def forget_failure(path: Path) -> None:
    """Note that the last try succeeded; raises ``OSError``."""
    if path.exists():
        delete(path)


_DAMAGED = (
    "can't be read as an account: delete it, and the next certificate is asked for with a new one"
)


def _read(path: Path, members: set[str]) -> dict[str, Any] | None:
    data = read_file(path)
    if data is None:
        return None
    found = parse_json(str(path), data)
    if isinstance(found, dict):
        refuse_later_version(str(path), found.get("v"), int(VERSION))
    if not isinstance(found, dict) or found.keys() != members:
        raise Invalid([Problem(str(path), "", _DAMAGED)])
    return found
