"""Who may enter which part of a new app: by options, or by questions at a terminal."""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import typer

from proxy.cli.output import USAGE, Stop, remark
from proxy.core.errors import Invalid

AccessName = Literal["public", "peer", "private"]
Paths = Mapping[str, AccessName]
"""The access of each path prefix; "" is all that no other one covers."""

PRIVATE: Paths = {"": "private"}
PRIVATE_AND_PEERS: Paths = {"": "private", "/peer/": "peer"}
"""What a new app gets where nobody says anything else: peers that it may know come to /peer/."""

_EVERYTHING = "/"
"""How "" is typed."""
_NONE = "none"


class TwoAccesses(ValueError):
    """One prefix for two kinds of callers."""


def paths_of(public: list[str], peer: list[str], private: list[str]) -> Paths:
    """Return the accesses of the prefixes that were typed; all else is private."""
    found: dict[str, AccessName] = {}
    for prefix, access in _typed(public, peer, private):
        if found.setdefault(prefix, access) != access:
            raise TwoAccesses(f"{prefix or _EVERYTHING} can't be {found[prefix]} and {access}")
    # "" first, as people write it
    return {"": found.pop("", "private"), **found}


def _typed(
    public: list[str], peer: list[str], private: list[str]
) -> Iterator[tuple[str, AccessName]]:
    given: tuple[tuple[list[str], AccessName], ...] = (
        (public, "public"),
        (peer, "peer"),
        (private, "private"),
    )
    for prefixes, access in given:
        for prefix in prefixes:
            yield "" if prefix == _EVERYTHING else prefix, access


def paths_by_options(public: list[str], peer: list[str], private: list[str]) -> Paths:
    """Do the same for options; raises ``Stop``."""
    try:
        return paths_of(public, peer, private)
    except TwoAccesses as mistake:
        raise Stop(f"{mistake}: give each prefix once", status=USAGE) from None


def ask_for_paths(name: str, default: Paths, check: Callable[[Paths], object]) -> Paths:
    """Ask whoever is at the terminal, until ``check`` raises no ``Invalid``."""
    remark(f"Who may enter which paths of {name}? Type the beginnings of paths, such as /peer/, or")
    remark(f"none; {_EVERYTHING} is all that no other one covers. Enter takes what is in brackets.")
    while True:
        peers = " ".join(prefix for prefix, access in default.items() if access == "peer")
        public = _ask("Public, for everybody", _NONE)
        peer = _ask("For peers that it may know", peers or _NONE)
        rest = _NONE if _EVERYTHING in {*public, *peer} else _EVERYTHING
        private = _ask("Private, for your own devices", rest)
        try:
            paths = paths_of(public, peer, private)
            check(paths)
        except TwoAccesses as mistake:
            remark(f"{mistake}. Once more:")
        except Invalid as invalid:
            for problem in invalid.problems:
                remark(f"{problem.place}: {problem.what}")
            remark("Once more:")
        else:
            return paths


def ask_where(name: str, problem_of: Callable[[str], str]) -> str:
    """Ask where the app listens, until ``problem_of`` says nothing."""
    remark(f"Where does {name} listen? http://host:port, https://host:port or unix:/path/to/socket")
    while True:
        typed: str = typer.prompt("Upstream", err=True).strip()
        if not (problem := problem_of(typed)):
            return typed
        remark(problem)


def _ask(question: str, default: str) -> list[str]:
    typed: str = typer.prompt(question, default=default, err=True)
    words = typed.replace(",", " ").split()
    return [] if words == [_NONE] else words
