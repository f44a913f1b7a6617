"""The guide for owners tells of the log what the log has."""

import json
import re
from pathlib import Path

from proxy.core.access.policy import Caller
from proxy.core.log_line import RequestLine, as_json, as_text, message_as_json

_GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "operating.md").read_text("utf-8")
_SECTION = _GUIDE.split("\n### The log\n", 1)[1].split("\n## ", 1)[0]
_NOW = "2026-11-22T14:00:00.123Z"


def _full_line() -> RequestLine:
    line = RequestLine()
    line.outcome, line.status, line.code, line.detail = "refused", 401, "proof_required", "why"
    line.caller, line.app, line.rule, line.mode = Caller("peer", "a" * 103, "B"), "a", b"/", "plain"
    line.peer, line.peer_name, line.peer_code, line.first = "b" * 103, "B", "not_allowed", 0.5
    return line


def _members_in_the_table() -> list[str]:
    rows = re.findall(r"^\| (`[a-z_`, ]+) \|", _SECTION, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]


def test_the_table_has_every_member_of_a_requests_line_and_no_other() -> None:
    members = json.loads(as_json(_full_line(), _NOW, "warning"))
    assert sorted(_members_in_the_table()) == sorted(members)


def test_the_examples_are_lines_as_the_proxy_writes_them() -> None:
    (block,) = re.findall(r"<!-- log -->\n```json\n(.*?)^```$", _SECTION, re.DOTALL | re.MULTILINE)
    *requests, message = block.splitlines()
    order = list(json.loads(as_json(_full_line(), _NOW, "warning")))
    for text in requests:
        told = json.loads(text)
        assert list(told) == [name for name in order if name in told]
        line = RequestLine()
        for name in ("listener", "outcome", "status", "code", "detail", "app", "mode"):
            setattr(line, name, told.get(name, getattr(line, name)))
        line.method, line.host = told["method"].encode(), told["host"].encode()
        line.target = told["path"].encode()
        line.rule = told["rule"].encode() if "rule" in told else None
        if "caller" in told:
            line.caller = Caller(told["caller"], told["caller_id"], told["caller_name"])
        line.bytes_in, line.bytes_out = told["bytes_in"], told["bytes_out"]
        line.seconds, line.first = told["ms"] / 1000, told["first_ms"] / 1000
        line.request_id, line.client = told["request_id"], told["client"]
        assert as_json(line, told["time"], told["level"]) == text
    told = json.loads(message)
    written = message_as_json(told["time"], told["level"], told["logger"], told["message"])
    assert written == message


def test_so_is_the_one_for_a_person() -> None:
    line = RequestLine()
    line.listener, line.outcome, line.status, line.app = "public", "answered", 200, "guestbook"
    line.method, line.host = b"GET", b"guestbook.8271dd.p.getportal.org"
    line.target, line.rule, line.mode = b"/public/", b"/public/", "plain"
    line.caller, line.bytes_out = Caller("anonymous"), 512
    line.seconds, line.first, line.client = 0.0021, 0.0019, "203.0.113.9"
    line.request_id = "0f1c8ef3c8a94b6b8a3c1f0e1d7c2b5a"
    assert f"\n{_NOW} INFO {as_text(line)}\n" in _SECTION
