"""What ``status`` shows a person, laid out: the same as its JSON, in a screen's height."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from proxy.cli.output import counted
from proxy.core.identity import short_id

MOST_CONTACTS = 15
_DAY, _HOUR, _MINUTE = 86_400, 3600, 60
_LONGEST_NAME = 24


def screen(found: Mapping[str, Any]) -> str:
    """Return the screen's text; whatever came from outside is made printable by who prints it."""
    return "\n".join(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    now = found.get("now") or int(time.time())
    portal_id = found["id"]
    yield f"{found['name']}  {short_id(portal_id) if portal_id else 'without a key'}"
    if found["address"]:
        yield _row("Address", found["address"])
    if portal_id:
        yield _row("ID", portal_id)
    yield _row("Version", _version(found))
    if not found["runs"]:
        yield _row("Proxy", f"doesn't run: {found['why_not']}")
        yield _row("Backup", _backup(found, now))
        return
    workers = counted(found["workers"], "process").replace("processs", "processes")
    yield _row("Proxy", f"runs for {_age(now - found['started'])}, {workers}")
    for name, listener in found["listeners"].items():
        connections = counted(listener["connections"], "connection")
        yield _row(name.capitalize(), f"{listener['address']}, {connections}")
    is_plain = str(found["address"]).startswith("http://")
    yield _row("TLS", _certificate(found["certificate"], now, is_plain=is_plain))
    yield _row("Backup", _backup(found, now))
    for what, keys in found["waiting"].items():
        how = "SIGHUP or the next start" if what == "reload" else "the next start"
        yield _row("Settings", f"hold from {how}: {', '.join(keys)}")
    yield ""
    yield from _apps(found["apps"])
    yield ""
    yield from _contacts(found["contacts"], found["contacts_in_all"], now)
    if found["problems"]:
        yield ""
        yield from (f"problem: {problem}" for problem in found["problems"])


def _row(name: str, text: str) -> str:
    return f"  {name:<10}{text}"


def _version(found: Mapping[str, Any]) -> str:
    runs, program = found["version"], found["program"]
    return runs if runs == program else f"{runs} runs; {program} is installed, from the next start"


def _backup(found: Mapping[str, Any], now: int) -> str:
    if found["throw_away"]:
        return "none needed: this identity is one to throw away"
    made = found["backup"]
    if made is None:
        return "never made: portal-proxy backup FILE"
    return f"{_age(now - made)} ago"


def _certificate(certificate: Mapping[str, Any] | None, now: int, *, is_plain: bool) -> str:
    if certificate is None and is_plain:
        return "none: the address is a plain http one"
    if certificate is None:
        return "none of its own: a web server in front has it"
    left = certificate["ends"] - now
    ends = f"ends in {_age(left)}" if left > 0 else f"ended {_age(-left)} ago"
    names = ", ".join(certificate["names"][:4])
    return f"{ends}; for {names}{_renewal(certificate.get('renewal'), now)}"


def _renewal(renewal: Mapping[str, Any] | None, now: int) -> str:
    if renewal is None:
        return ""
    failure = renewal["failure"]
    if failure is None:
        return "; renewed by itself"
    again = f"again in {_age(failure['next_try'] - now)}"
    return f"; not renewed {_age(now - failure['at'])} ago, {again}: {failure['reason']}"


def _apps(apps: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if not apps:
        yield "No apps."
        return
    rows = [(name, str(app["answer"] or "wasn't asked yet"), str(app["upstream"]),
             app.get("entrance") or "-") for name, app in apps.items()]  # fmt: skip
    heads = ("App", "Its server", "At", "Its entrance")
    columns = len(heads) if any(app.get("entrance") for app in apps.values()) else len(heads) - 1
    yield from _table(heads[:columns], [row[:columns] for row in rows])


def _contacts(
    contacts: Sequence[Mapping[str, Any]] | None, in_all: int | None, now: int
) -> Iterator[str]:
    if contacts is None:
        yield "The contact list can't be read just now."
        return
    if not contacts:
        yield "No contacts."
        return
    rows = [
        (
            contact["name"][:_LONGEST_NAME],
            short_id(contact["id"]),
            _call(contact["last_in"], now),
            _call(contact["last_out"], now),
            _reachable(contact["reachable"]),
        )
        for contact in contacts[:MOST_CONTACTS]
    ]
    yield from _table(("Contact", "ID", "Last call in", "Last call out", "Reachable"), rows)
    more = (in_all or 0) - len(rows)
    if more > 0:
        yield f"and {more} more, of whom nothing newer is known (--json shows more)"


def _reachable(reachable: bool | None) -> str:  # noqa: FBT001 - as it is told
    return {True: "yes", False: "no", None: "wasn't asked"}[reachable]


def _call(call: Mapping[str, Any] | None, now: int) -> str:
    if call is None:
        return "-"
    return f"{_age(now - call['at'])} ago{'' if call['answered'] else ', failed'}"


def _age(seconds: float) -> str:
    """Return a span of time in its largest unit."""
    seconds = max(0, int(seconds))
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    table = [heads, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
