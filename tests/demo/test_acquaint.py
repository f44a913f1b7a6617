"""How the demo makes the owners' contact lists, on a stage that only remembers the commands."""

import json

from demo.conversation import acquaint
from demo.stage import Response


class _Stage:
    """Three Portals that all know each other already, in the given mode."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self.commands: list[tuple[str, ...]] = []

    def command(self, portal: str, *arguments: str) -> str:
        if arguments == ("id",):
            return f"{_id(portal)}\n"
        if arguments[:2] == ("peers", "list"):
            return json.dumps([{"id": _id(key), "mode": self._mode} for key in ("ada", "bob")])
        self.commands.append((portal, *arguments))
        return ""

    def command_line(self, portal: str) -> str:
        raise NotImplementedError

    def connect(self, _portal: str, to: str) -> str:
        return f"{to}.test:80"

    def port(self, _portal: str) -> int:
        return 80

    def call_as_app(self, portal: str, app: str, method: str, path: str) -> Response:
        raise NotImplementedError

    def log(self, portal: str, part: str) -> str:
        raise NotImplementedError

    def overheard(self) -> bytes:
        raise NotImplementedError


def _id(key: str) -> str:
    return key.ljust(100, "x")


def _changes(stage: _Stage, verb: str) -> list[tuple[str, str]]:
    """Return which Portal added or removed whom."""
    return [(line[0], line[3]) for line in stage.commands if line[1:3] == ("peers", verb)]


def test_sealed_contacts_are_kept_and_missing_ones_added_unpinned() -> None:
    stage = _Stage("sealed")
    acquaint(stage)
    assert _changes(stage, "remove") == []
    assert _changes(stage, "add") == [("ada", _id("cleo"))]
    assert not any("--mode" in line for line in stage.commands)


def test_contacts_whose_calls_nobody_takes_any_more_are_made_anew() -> None:
    stage = _Stage("signed")
    acquaint(stage)
    replaced = [("ada", _id("bob")), ("bob", _id("ada")), ("cleo", _id("ada"))]
    assert _changes(stage, "remove") == replaced
    assert set(replaced) < set(_changes(stage, "add"))
    last_removal = max(i for i, line in enumerate(stage.commands) if line[2] == "remove")
    allowed = [i for i, line in enumerate(stage.commands) if line[1:3] == ("apps", "allow")]
    assert min(allowed) > last_removal  # who was removed is on no app's list any more
