"""The changes to the list of terminals: pure, and refused with a one-line reason."""

from collections.abc import Mapping
from dataclasses import replace

from proxy.core.display_names import name_problem
from proxy.core.terminals.terminals import Terminal, TerminalList

_AHEAD = 3600
"""Seconds that a time may lie ahead of another process's before it is no time that was."""


def with_terminal(terminals: TerminalList, terminal: Terminal) -> TerminalList:
    """Add a terminal at the end; raises ``ValueError`` where its ID or its token is another's."""
    for other in terminals.terminals:
        if terminal.id == other.id or terminal.token_sha256 == other.token_sha256:
            raise ValueError(f"{terminal.id} or its token is that of {other.id}")
    return TerminalList((*terminals.terminals, terminal))


def without_terminal(terminals: TerminalList, terminal_id: str) -> TerminalList:
    """Remove a terminal; raises ``ValueError`` where there is none of this ID."""
    _require(terminals, terminal_id)
    return TerminalList(tuple(each for each in terminals.terminals if each.id != terminal_id))


def without_devices_of(terminals: TerminalList, app: str) -> TerminalList:
    """Remove those that come to ``app`` alone, by a token; there may be none."""
    return TerminalList(tuple(each for each in terminals.terminals if each.app != app))


def renamed(terminals: TerminalList, terminal_id: str, name: str) -> TerminalList:
    """Give a terminal another name; raises ``ValueError`` for no such one, and a bad name."""
    _require(terminals, terminal_id)
    problem = name_problem(name)
    if problem:
        raise ValueError(f"the name {name!r} can't be used: {problem}")
    return TerminalList(
        tuple(
            replace(each, name=name) if each.id == terminal_id else each
            for each in terminals.terminals
        )
    )


def with_seen(terminals: TerminalList, seen: Mapping[str, float], now: float) -> TerminalList:
    """Note when terminals were last used, by ID; one that was removed meanwhile stays removed.

    Of two processes' the later one counts, but for one that lies far ahead: a clock that was wrong
    for a moment mustn't keep a terminal good for years.
    """
    return TerminalList(
        tuple(
            replace(each, seen=_later(each.seen, int(seen[each.id]), now))
            if each.id in seen
            else each
            for each in terminals.terminals
        )
    )


def _later(noted: int, used: int, now: float) -> int:
    return used if noted > now + _AHEAD else max(noted, used)


def _require(terminals: TerminalList, terminal_id: str) -> None:
    if terminals.find(terminal_id) is None:
        raise ValueError(f"{terminal_id!r} isn't the ID of a terminal")
