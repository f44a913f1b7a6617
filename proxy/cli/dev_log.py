"""What the Portals of ``dev`` log, as one story: a line for each call, from the one to the other.

A call has a line in two logs: where it was made, and where it was answered. Both know the two
Portals, the app, the method and the path; the second knows why it was refused. Nothing in a call
numbers it for both, so of several that are alike the first line belongs to the first.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from proxy.core.identity_document import PATH

WAIT = 0.5
"""Seconds that a line waits for the other one of its call."""

Tone = Literal["", "good", "bad", "odd", "name", "dim"]
Part = tuple[str, Tone]

_CALL_PATH = re.compile(r"/internal/call_peer/[^/]*")
_ORIGIN = re.compile(r"(?i:https?)://[^/?]*")
_APPS_LOGGER = "apps"
_EXPECTED = frozenset({"replay"})
"""Whose warnings are about a Portal that was away for a while, as these are each time."""
_SEALED_OR_SIGNED = frozenset({"sealed", "signed"})
_LOUD = frozenset({"warning", "error", "critical"})
_REDIRECTION, _BAD_REQUEST = 300, 400
_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Event:
    """Something that happened, for a script and for a person."""

    members: Mapping[str, object]
    parts: tuple[Part, ...]
    """A line of text, in pieces."""
    because: str = ""
    """What is to be said under it."""


@dataclass
class _Waiting:
    key: _Key
    """Who calls, "" where that isn't known, and whom; the app, the method and the path."""
    at: str
    line: Mapping[str, Any]
    until: float


class DevLog:
    """Joins the lines of several Portals; ``names`` has their names by their IDs.

    ``shown_as`` has what is told in the place of some paths: a file is linked to where its author
    edits it.
    """

    def __init__(self, names: Mapping[str, str], shown_as: Mapping[str, str] | None = None) -> None:
        self._names = names
        self._shown_as = dict(shown_as or {})
        self._first = next(iter(names.values()), "")
        self._made: deque[_Waiting] = deque()
        """Calls that failed, where it isn't known yet what the other Portal says."""
        self._answered: deque[_Waiting] = deque()
        """What was answered, where whoever called hasn't told yet."""
        self._told: deque[_Waiting] = deque()
        """Calls that were told, whose other line may still come."""
        self._taken_over: tuple[float, Event] | None = None
        """That the apps' files were read again; until when something may be wrong with them."""

    def take(self, at: str, text: str, now: float) -> list[Event]:
        """Take a line of the log of the Portal ``at``; returns what there is to tell by now."""
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            return [*self.late(now), self._raw(at, text)]
        if "listener" not in line:
            return [*self.late(now), *self._message(at, line, now)]
        return [*self.late(now), *self._request(at, line, now)]

    def late(self, now: float) -> list[Event]:
        """Return what has waited long enough."""
        found = []
        while self._made and self._made[0].until <= now:
            found.append(self._call(self._made.popleft(), None))
        while self._answered and self._answered[0].until <= now:
            waiting = self._answered.popleft()
            is_known = bool(waiting.key[0])
            line = waiting.line
            found.append(self._call(waiting, line) if is_known else self._other(waiting.at, line))
        while self._told and self._told[0].until <= now:
            self._told.popleft()
        if self._taken_over is not None and self._taken_over[0] <= now:
            found.append(self._taken_over[1])
            self._taken_over = None
        return found

    def _request(self, at: str, line: Mapping[str, Any], now: float) -> Iterable[Event]:
        caller = self._names.get(str(line.get("caller_id", "")))
        called = self._names.get(str(line.get("peer", "")))
        if line["listener"] == "apps" and called is not None:
            return self._was_made(_Waiting(_key(at, called, line), at, line, now + WAIT))
        if line["listener"] == "public" and caller is not None and line.get("caller") == "peer":
            return self._was_answered(_Waiting(_key(caller, at, line), at, line, now + WAIT))
        if line["listener"] == "public" and line.get("mode") in _SEALED_OR_SIGNED:
            # Refused before it was settled who called.
            return self._was_answered(_Waiting(_key("", at, line), at, line, now + WAIT))
        if line["listener"] == "owner" or _is_own(line):
            return ()
        return (self._other(at, line),)

    def _was_made(self, made: _Waiting) -> Iterable[Event]:
        answered = _taken(self._answered, made.key)
        if answered is None and _is_bad(made.line):
            self._made.append(made)
            return ()
        if answered is None:
            self._told.append(made)
        return (self._call(made, answered.line if answered else None),)

    def _was_answered(self, answered: _Waiting) -> Iterable[Event]:
        made = _taken(self._made, answered.key)
        if made is not None:
            return (self._call(made, answered.line),)
        if _taken(self._told, answered.key) is None:
            self._answered.append(answered)
        return ()

    def _call(self, waiting: _Waiting, other: Mapping[str, Any] | None) -> Event:
        caller, called, app, method, path = waiting.key
        line = waiting.line
        members: dict[str, object] = {
            "event": "call", "from": caller, "to": called, "app": app, "method": method,
            "path": path, "mode": line.get("mode", ""),
        }  # fmt: skip
        members |= _facts(line)
        source = other if other is not None and other.get("detail") else line
        code = line.get("peer_code") or line.get("code") or (other or {}).get("code") or ""
        if code:
            members["code"] = code
        if source.get("detail"):
            members["detail"] = source["detail"]
        who: list[Part] = [(f"{caller} -> {called}", "name")]
        because = str(source.get("detail", ""))
        told_by = called if source is other else caller
        return Event(
            members,
            _line(line, who, app, method, path, str(line.get("mode", "")), str(code)),
            f"{told_by}: {because}" if because else "",
        )

    def _other(self, at: str, line: Mapping[str, Any]) -> Event:
        app, method = str(line.get("app", "")), str(line.get("method", ""))
        path = str(line.get("path", ""))
        caller = str(line.get("caller", ""))
        if line["listener"] == "apps":
            who, caller = f"{app or 'an app'} -> {at}", "app"
            path = _ORIGIN.sub("", path, count=1) or "/"
        elif caller == "terminal":
            who = f"you -> {at}"
        elif caller == "peer":
            who = f"{line.get('caller_name') or 'a peer'} -> {at}"
        else:
            who, caller = f"stranger -> {at}", "anonymous"
        members: dict[str, object] = {
            "event": "request", "at": at, "from": caller, "app": app, "method": method,
            "path": path,
        }  # fmt: skip
        members |= _facts(line)
        code, detail = str(line.get("code", "")), str(line.get("detail", ""))
        members |= {name: text for name, text in (("code", code), ("detail", detail)) if text}
        parts = _line(line, [(who, "")], app, method, path, "", code)
        return Event(members, parts, f"{at}: {detail}" if detail else "")

    def _message(self, at: str, line: Mapping[str, Any], now: float) -> Iterable[Event]:
        logger, level = str(line.get("logger", "")), str(line.get("level", ""))
        is_of_apps = logger == _APPS_LOGGER
        # All of them follow the same author's file: once is enough.
        if (is_of_apps and at != self._first) or (level not in _LOUD and not is_of_apps):
            return
        if logger in _EXPECTED and level == "warning":
            return
        text = str(line.get("message", ""))
        for path, other in self._shown_as.items():
            text = text.replace(path, other)
        members = {
            "event": "message", "at": at, "level": level, "logger": logger, "message": text,
        }  # fmt: skip
        tone: Tone = "bad" if level in {"error", "critical"} else "odd"
        whose = "" if is_of_apps else f"{at}: "
        event = Event(members, ((f"{whose}{text}", tone if level in _LOUD else "dim"),))
        if is_of_apps and level not in _LOUD:
            self._taken_over = now + WAIT, event
            return
        if is_of_apps:
            self._taken_over = None  # what was read is wrong: nothing was taken over
        yield event
        if line.get("traceback"):
            for each in str(line["traceback"]).splitlines():
                yield self._raw(at, each)

    @staticmethod
    def _raw(at: str, text: str) -> Event:
        members = {"event": "output", "at": at, "text": text}
        return Event(members, ((f"{at}: {text}", "odd"),))


def _key(caller: str, called: str, line: Mapping[str, Any]) -> _Key:
    path = _ORIGIN.sub("", str(line.get("path", "")), count=1)
    path = _CALL_PATH.sub("", path, count=1) or "/"
    app = str(line.get("app", "")) or str(line.get("host", "")).partition(".")[0]
    return caller, called, app, str(line.get("method", "")), path


def _taken(waiting: deque[_Waiting], key: _Key) -> _Waiting | None:
    """Take the first one of this call out, if there is any."""
    for each in waiting:
        is_known = bool(each.key[0] and key[0])
        if each.key[1:] == key[1:] and (each.key[0] == key[0] or not is_known):
            waiting.remove(each)
            return each
    return None


def _is_bad(line: Mapping[str, Any]) -> bool:
    return line.get("outcome") != "answered" or line.get("status", 0) >= _BAD_REQUEST


def _is_own(line: Mapping[str, Any]) -> bool:
    """Tell whether two Portals ask each other here who they are, and all is well."""
    return line.get("path") == PATH.decode() and not _is_bad(line)


def _facts(line: Mapping[str, Any]) -> dict[str, object]:
    kept = ("outcome", "status", "ms", "bytes_in", "bytes_out", "request_id")
    return {name: line[name] for name in kept if name in line}


def _line(
    line: Mapping[str, Any],
    who: list[Part],
    app: str,
    method: str,
    path: str,
    mode: str,
    code: str,
) -> tuple[Part, ...]:
    """Return one request as a person reads it: who, app, path, status, how, and how long."""
    status, outcome = line.get("status", 0), str(line.get("outcome", ""))
    tone: Tone = "good" if 0 < status < _REDIRECTION else "odd" if status < _BAD_REQUEST else "bad"
    if outcome not in {"answered", "refused"}:
        tone = "bad"
    ended = outcome if outcome in {"left", "broken", "revoked"} else ""
    result = " ".join(filter(None, (str(status or "---"), code, ended)))
    text, own = who[0]
    return (
        (f"{_clock(line)}  ", "dim"),
        (f"{text:<18}", own),
        (f"{app:<10} ", "dim"),
        (f"{method} {path}  ", ""),
        (result, tone),
        (f"  {mode}" if mode else "", "good" if mode == "sealed" else "odd"),
        (f"  {float(line.get('ms', 0)):.0f} ms", "dim"),
    )


def _clock(line: Mapping[str, Any]) -> str:
    """Return the time of day here, out of a line's time."""
    try:
        return datetime.fromisoformat(str(line.get("time", ""))).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return ""
