"""The lines of the log: what they tell, and that whatever stands in them stays on them."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.errors import Code, Refusal
from proxy.core.log_line import (
    LONGEST,
    RequestLine,
    as_json,
    as_text,
    message_as_json,
    message_as_text,
    quoted,
    shown,
    shown_path,
    visible,
)

_NOW = "2026-11-22T14:00:00.000Z"
_ID = "a" * 103


def line_with(**facts: Any) -> RequestLine:
    line = RequestLine()
    usual = {"listener": "public", "outcome": "answered", "method": b"GET", "host": b"a.example"}
    for name, value in {**usual, "target": b"/x?y", "client": "9.9.9.9", **facts}.items():
        setattr(line, name, value)
    return line


def read(line: RequestLine) -> dict[str, Any]:
    text = as_json(line, _NOW, "info")
    assert text.isascii()
    assert text.isprintable()
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_tells_what_is_known_and_nothing_else() -> None:
    assert read(line_with()) == {
        "time": _NOW, "level": "info", "listener": "public", "outcome": "answered",
        "method": "GET", "host": "a.example", "path": "/x", "bytes_in": 0, "bytes_out": 0,
        "ms": 0.0, "request_id": "", "client": "9.9.9.9",
    }  # fmt: skip
    known = line_with(
        status=200, caller=Caller("peer", _ID, "Ad\xe4"), app="box", rule=b"", mode="sealed",
        peer=_ID, peer_name="B\u00f6b", peer_code="not_allowed", bytes_in=1, bytes_out=2,
        seconds=0.25, first=0.125, request_id="r",
    )  # fmt: skip
    assert read(known).items() >= {
        "status": 200, "caller": "peer", "caller_id": _ID, "caller_name": "Ad\xe4", "app": "box",
        "rule": "", "mode": "sealed", "peer": _ID, "peer_name": "B\u00f6b",
        "peer_code": "not_allowed", "bytes_in": 1, "bytes_out": 2, "ms": 250.0, "first_ms": 125.0,
        "request_id": "r",
    }.items()  # fmt: skip
    assert read(line_with(caller=ANONYMOUS))["caller"] == "anonymous"
    assert "caller_id" not in read(line_with(caller=ANONYMOUS))


_ODD = st.text('/?"\\@% \x7f\xe4\na', max_size=8)
_ODD_BYTES = st.lists(
    st.sampled_from((b"/", b"?", b'"', b"\\", b"@", b" ", b"\x7f", b"\xe4", b"\n", b"a" * 200)),
    max_size=8,
).map(b"".join)


@given(
    method=_ODD_BYTES, host=_ODD_BYTES, target=_ODD_BYTES, rule=st.none() | _ODD_BYTES,
    caller=st.sampled_from((None, ANONYMOUS, Caller("peer", _ID, '"\xe4'))), client=_ODD,
    code=st.sampled_from(("", "replayed")), detail=_ODD, status=st.sampled_from((0, 403)),
    app=st.sampled_from(("", "box")), mode=st.sampled_from(("", "plain")), peer_name=_ODD,
    peer=st.sampled_from(("", _ID)), peer_code=st.sampled_from(("", "replayed")),
    first=st.none() | st.just(0.5),
)  # fmt: skip
def test_a_line_is_written_as_json_would_be(**facts: Any) -> None:
    line = line_with(**facts)
    told: dict[str, Any] = {"time": _NOW, "level": "info", "listener": "public"}
    told |= {"outcome": line.outcome, "status": line.status or None}
    told |= {"code": line.code or None, "detail": line.detail or None}
    told |= {"method": shown(line.method), "host": shown(line.host)}
    told["path"] = shown_path(line.target)
    if line.caller is not None:
        told["caller"] = line.caller.type
        if line.caller.id:
            told |= {"caller_id": line.caller.id, "caller_name": line.caller.name}
    told["app"] = line.app or None
    told["rule"] = None if line.rule is None else shown(line.rule)
    told["mode"] = line.mode or None
    if line.peer:
        told |= {"peer": line.peer, "peer_name": line.peer_name}
    told["peer_code"] = line.peer_code or None
    told |= {"bytes_in": 0, "bytes_out": 0, "ms": 0.0, "first_ms": line.first and 500.0}
    told |= {"request_id": "", "client": line.client}
    known = {name: value for name, value in told.items() if value is not None}
    text = json.dumps(known, separators=(",", ":")).replace("\x7f", "\\u007f")
    for name in ("ms", "first_ms"):
        text = re.sub(rf'("{name}":\d+\.)0', r"\g<1>00", text)
    assert as_json(line, _NOW, "info") == text


def test_the_text_tells_the_same() -> None:
    line = line_with(
        status=200, caller=Caller("peer", _ID, "Ad\xe4"), app="box", rule=b"/p", mode="sealed",
        peer=_ID, peer_name="Bob", peer_code="not_allowed", bytes_in=1, bytes_out=2,
        seconds=0.25, first=0.125, request_id="r",
    )  # fmt: skip
    assert as_text(line) == str(line) == (
        f'public answered 200: GET a.example /x from peer {_ID} "Ad\\u00e4" app=box rule="/p" '
        f'mode=sealed peer={_ID} "Bob" peer_code=not_allowed in=1 out=2 ms=250.0 first_ms=125.0 '
        "id=r client=9.9.9.9"
    )  # fmt: skip


def test_a_refusal_has_its_code_and_what_its_caller_isnt_told() -> None:
    line = line_with()
    line.refuse(Refusal(Code.REPLAYED, "the nonce\r\nwas \x1bseen"))
    line.outcome = "refused"
    found = read(line)
    assert (found["status"], found["code"]) == (409, "replayed")
    assert found["detail"] == "the nonce\r\nwas \x1bseen"
    assert as_text(line).startswith("public refused 409 replayed: GET a.example /x in=0")
    assert as_text(line).endswith(' detail="the nonce\\r\\nwas \\u001bseen"')


@given(st.binary(max_size=300), st.binary(max_size=2000), st.text(), st.text())
def test_whatever_stands_in_it_a_line_is_one_line(
    data: bytes, target: bytes, name: str, detail: str
) -> None:
    line = line_with(
        method=data, host=data, target=target, caller=Caller("peer", _ID, name), rule=data,
        peer=_ID, peer_name=name, detail=detail, client=detail,
    )  # fmt: skip
    found = read(line)
    for member in ("method", "host", "path", "rule"):
        assert re.fullmatch(r"[!-~]*", found[member])
        assert len(found[member]) <= 4 * LONGEST
    text = as_text(line)
    assert text.isascii()
    assert text.isprintable()


@given(st.text(), st.text())
def test_so_is_any_other_message_and_a_traceback_is_set_apart(message: str, trace: str) -> None:
    text = message_as_json(_NOW, "error", "hop", message, trace)
    assert text.isascii()
    assert text.isprintable()
    members = {"time": _NOW, "level": "error", "logger": "hop", "message": message}
    assert json.loads(text) == members | ({"traceback": trace} if trace else {})
    first, *others = message_as_text(message, trace).split("\n")
    assert first.isascii()
    assert first.isprintable()
    for line in others:
        assert re.fullmatch(r" {4}[ -~]*", line)


def test_several_problems_are_one_line_of_text() -> None:
    assert message_as_text("a\nb") == "a b"
    assert message_as_text("x", "Traceback\n  File") == "x\n    Traceback\n      File"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a?token=secret", "/a"),
        (b"/a@b?c", "/a@b"),
        (b"http://ada:secret@b.example/x?y", "b.example/x"),
        (b"secret@b.example:80", "b.example:80"),
        (b"http://b.example/@ada/x@y/z?q", "http://b.example/@ada/x@y/z"),
        (b"HTTP://ada:se@cret@b.example/@ada/x@y", "b.example/@ada/x@y"),
        (b"http:///ada:secret@b.example/x", "b.example/x"),
        (b"http:\\\\ada:secret@b.example\\a@b", "b.example\\x5ca@b"),
        (b"http:ada:secret@b.example/x", "b.example/x"),
        (b"*", "*"),
        (b"/\x1b[31m\xe4\\n", "/\\x1b[31m\\xe4\\x5cn"),
        (b"/" + b"x" * 9000, "/" + "x" * (LONGEST - 1)),
    ],
)
def test_of_a_target_the_path_is_shown(target: bytes, path: str) -> None:
    assert shown_path(target) == path


def test_bytes_are_shown_as_visible_ascii() -> None:
    every = bytes(range(256))
    assert re.fullmatch(r"(?:[!-\[\]-~]|\\x[0-9a-f]{2})*", shown(every[:200]))
    assert shown(b"x" * 1000) == "x" * 200
    assert visible("plain words") == "plain words"
    assert visible('"\x7f\u202e') == '\\"\\u007f\\u202e'
    assert quoted("\x7f\x9b\n") == '"\\u007f\\u009b\\n"'
