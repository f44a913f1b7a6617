"""What ``dev`` tells of two logs: a line for each call, whichever of its two lines comes first."""

import json
from typing import Any

import pytest

from proxy.cli.dev_log import WAIT, DevLog, Event

ADA, BOB = "a" * 103, "b" * 103
NAMES = {ADA: "Ada", BOB: "Bob"}


def made(path: str = "/peer/x", status: int = 200, **more: object) -> str:
    """Return the line of a call at the Portal that makes it."""
    line = {
        "time": "2026-01-02T03:04:05.678Z", "level": "info", "listener": "apps",
        "outcome": "answered", "status": status, "method": "GET", "host": "portal_core",
        "path": f"http://portal_core/internal/call_peer/bbbbbb{path}", "app": "chat",
        "mode": "sealed", "peer": BOB, "peer_name": "Bob", "ms": 12.3,
    }  # fmt: skip
    return json.dumps(line | more)


def answered(path: str = "/peer/x", status: int = 200, **more: object) -> str:
    """Return its line at the other one."""
    line = {
        "time": "2026-01-02T03:04:05.677Z", "level": "info", "listener": "public",
        "outcome": "answered", "status": status, "method": "GET", "path": path, "mode": "sealed",
        "host": "chat.bbbbbb.portal.localhost:1", "caller": "peer", "caller_id": ADA,
        "caller_name": "Ada", "app": "chat", "ms": 5.0,
    }  # fmt: skip
    return json.dumps(line | more)


def refused(path: str = "/peer/x") -> str:
    """Return the line of a call that is refused before it is settled who calls."""
    line = json.loads(
        answered(path, 403, outcome="refused", code="not_allowed", detail="chat: it is private")
    )
    kept = {k: v for k, v in line.items() if k not in {"caller", "caller_id", "caller_name", "app"}}
    return json.dumps(kept)


def text(event: Event) -> str:
    return "".join(part for part, _ in event.parts)


def told_of(*lines: tuple[str, str]) -> list[Event]:
    """Return all that is told of these lines, each from the log of a Portal, in the end."""
    log = DevLog(NAMES)
    found = [event for at, line in lines for event in log.take(at, line, 0)]
    return [*found, *log.late(WAIT * 9)]


def test_a_call_is_one_line_whichever_log_is_first() -> None:
    lines = [("Ada", made()), ("Bob", answered())]
    for order in (lines, lines[::-1]):
        (call,) = told_of(*order)
        assert call.members["event"] == "call"
        assert (call.members["from"], call.members["to"]) == ("Ada", "Bob")
        assert (call.members["path"], call.members["mode"]) == ("/peer/x", "sealed")
        for told in ("Ada -> Bob", "chat", "GET /peer/x", "200", "sealed", "12 ms"):
            assert told in text(call)


REFUSED = {"outcome": "refused", "code": "not_allowed", "detail": "chat: it is private"}


@pytest.mark.parametrize("theirs", [refused(), answered(status=403, **REFUSED)])
def test_a_refused_call_says_why_with_the_words_of_who_refused(theirs: str) -> None:
    lines = [("Ada", made(status=403, peer_code="not_allowed")), ("Bob", theirs)]
    for order in (lines, lines[::-1]):
        (call,) = told_of(*order)
        assert (call.members["code"], call.members["status"]) == ("not_allowed", 403)
        assert call.because == "Bob: chat: it is private"
        assert "403 not_allowed" in text(call)


def test_calls_that_are_alike_are_told_as_often_as_they_were_made() -> None:
    ours, theirs = ("Ada", made()), ("Bob", answered())
    found = told_of(ours, ours, theirs, theirs, theirs, ours)
    assert [event.members["from"] for event in found] == ["Ada"] * 3


def test_a_refusal_waits_for_its_reason_and_no_longer_than_it_must() -> None:
    log = DevLog(NAMES)
    assert log.take("Ada", made(status=502, code="peer_unreachable", detail="no way"), 10) == []
    assert log.late(10 + WAIT / 2) == []
    (call,) = log.late(10 + WAIT)
    assert call.because == "Ada: no way"
    assert log.late(99) == []


def test_who_knows_of_a_call_alone_tells_it() -> None:
    """As where the other one's log can't be read, or it isn't over there yet."""
    log = DevLog(NAMES)
    assert log.take("Bob", answered(), 0) == []
    (call,) = log.late(WAIT)
    assert (call.members["from"], call.members["to"]) == ("Ada", "Bob")
    assert log.take("Bob", refused(), 1) == []
    (stranger,) = log.late(1 + WAIT)
    assert (stranger.members["event"], stranger.members["at"]) == ("request", "Bob")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"listener": "public", "caller": "anonymous", "path": "/public/"}, "stranger -> Bob"),
        ({"listener": "public", "caller": "terminal", "caller_id": "abcdef"}, "you -> Bob"),
        ({"listener": "public", "caller": "peer", "caller_name": "Zoe"}, "Zoe -> Bob"),
        ({"listener": "apps", "path": "http://portal_core/protected/peers"}, "/protected/peers"),
        ({"listener": "apps", "status": 0, "outcome": "left"}, "--- left"),
    ],
)
def test_every_other_request_is_told_too(line: dict[str, Any], told: str) -> None:
    whole = {"status": 200, "outcome": "answered", "method": "GET", "path": "/", **line}
    (event,) = DevLog(NAMES).take("Bob", json.dumps(whole), 0)
    assert told in text(event)
    assert event.members["event"] == "request"


def test_what_portals_ask_each_other_and_the_owners_listener_isnt_told() -> None:
    log = DevLog(NAMES)
    identity = {"path": "/.well-known/portal-identity", "outcome": "answered", "status": 200}
    for line in ({"listener": "public", "mode": "plain", **identity}, {"listener": "owner"}):
        assert log.take("Bob", json.dumps(line), 0) == []
    assert log.late(WAIT * 9) == []


def message(logger: str, level: str, said: str, **more: str) -> str:
    return json.dumps({"time": "", "level": level, "logger": logger, "message": said, **more})


def test_what_is_wrong_with_an_app_json_is_told_once_by_the_path_that_its_author_knows() -> None:
    log = DevLog(NAMES, {"/tmp/x/ada/app.json": "/home/me/app.json"})
    said = "an app is wrong: {}: paths: expected an object"
    told = log.take("Ada", message("apps", "info", "the apps changed: chat"), 0)
    told += log.take("Ada", message("apps", "error", said.format("/tmp/x/ada/app.json")), 0)
    told += log.take("Bob", message("apps", "error", said.format("/tmp/x/bob/app.json")), 0)
    told += log.late(WAIT * 9)
    assert [text(event) for event in told] == [said.format("/home/me/app.json")]


def test_that_an_app_json_is_right_again_is_told_when_nothing_is_wrong_with_it() -> None:
    log = DevLog(NAMES)
    assert log.take("Ada", message("apps", "info", "the apps changed: chat"), 0) == []
    (event,) = log.late(WAIT)
    assert text(event) == "the apps changed: chat"
    assert log.late(99) == []


def test_of_other_messages_the_loud_ones_are_told() -> None:
    log = DevLog(NAMES)
    assert log.take("Ada", message("proxy", "info", "public listener: ..."), 0) == []
    assert log.take("Ada", message("replay", "warning", "a new epoch began"), 0) == []
    (event,) = log.take("Ada", message("sealing_keys", "error", "no room"), 0)
    assert text(event) == "Ada: no room"
    first, second = log.take("Ada", message("x", "error", "oh", traceback="where"), 0)
    assert (text(first), text(second)) == ("Ada: oh", "Ada: where")


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "[1]", "", "{"])
def test_what_is_no_line_of_the_log_is_shown_as_it_is(line: str) -> None:
    (event,) = DevLog(NAMES).take("Ada", line, 0)
    assert text(event) == f"Ada: {line}"
