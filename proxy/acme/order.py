"""What an authority is asked for, and what two processes of ours say to each other about it.

Each message is a line of JSON. The proxy sends an order. The client answers once with ``expect``,
the responses that the authority will ask for, unless it knows us already; it goes on when it gets
``GO``. Its last line is a result: nothing, the terms, or what went wrong.
"""

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

GO = b"go\n"
LONGEST_LINE = 1 << 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")
_RESPONSE = re.compile(r"[A-Za-z0-9_-]{1,256}\.[A-Za-z0-9_-]{1,256}")
_LONGEST_DETAIL = 400


class NoMessage(ValueError):
    """A line that isn't one of these messages."""


@dataclass(frozen=True)
class Order:
    """A certificate for ``names``, or, with ``terms_only``, a look at the authority's terms."""

    directory: str
    email: str | None = None
    names: tuple[str, ...] = ()
    account: str = ""
    """The path of the account's file."""
    certificate: str = ""
    """The path that the certificate and its key go to."""
    authorities: str | None = None
    """The path of the certificates that are believed for the directory."""
    terms_only: bool = False

    def line(self) -> bytes:
        """Return it as a line."""
        return _line(asdict(self))


@dataclass(frozen=True)
class Failure:
    """Why there is no certificate: ``kind`` is the authority's word for it, or one of ours."""

    kind: str
    detail: str = ""
    host: str = ""
    """Which of the names; "" where it isn't about one."""


@dataclass(frozen=True)
class Said:
    """A message of the client's; exactly one of them, or none where a certificate was made."""

    expect: dict[str, str] | None = None
    terms: str | None = None
    failure: Failure | None = None

    def line(self) -> bytes:
        """Return it as a line."""
        return _line({name: value for name, value in asdict(self).items() if value is not None})


def read_order(line: bytes) -> Order:
    """Read what ``Order.line`` wrote."""
    found = json.loads(line)
    return replace(Order(**found), names=tuple(found["names"]))


def read_said(line: bytes) -> Said:
    """Read what ``Said.line`` wrote; raises ``NoMessage`` for anything else."""
    try:
        found = json.loads(line)
    except ValueError:
        raise NoMessage("not JSON") from None
    if not isinstance(found, dict) or len(found) > 1:
        raise NoMessage("not one message")
    match found:
        case {"expect": dict(expect)} if all(map(_is_expected, expect.items())):
            return Said(expect=expect)
        case {"terms": str(terms)}:
            return Said(terms=terms)
        case {"failure": {"kind": str(kind), "detail": str(detail), "host": str(host)}}:
            return Said(failure=Failure(kind, detail[:_LONGEST_DETAIL], host))
        case dict() if not found:
            return Said()
    raise NoMessage("no message of ours")


def path_beside(folder: Path, name: str) -> str:
    """Return the path of a file as the client, which has another current folder, finds it."""
    return str((folder / name).absolute())


def _is_expected(pair: tuple[Any, Any]) -> bool:
    token, response = pair
    return (
        isinstance(token, str)
        and isinstance(response, str)
        and _TOKEN.fullmatch(token) is not None
        and _RESPONSE.fullmatch(response) is not None
        and response.startswith(f"{token}.")
    )


def _line(members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode("ascii") + b"\n"
