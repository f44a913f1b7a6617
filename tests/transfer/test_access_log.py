"""One line a request, whatever becomes of it; and how the log of a process is written."""

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy import logging_setup as logs
from proxy.core.errors import Code, Refusal
from proxy.core.log_line import LEFT, RequestLine
from proxy.http.scope import RAW, UPGRADE
from proxy.http.upstream import UpstreamFailed
from proxy.log_writer import LogWriter
from proxy.transfer.access_log import Logged, line_of
from tests.alone import run_alone

_SCOPE: Scope = {
    "type": "http", "method": "POST", "path": "/a", "raw_path": b"/a", "query_string": b"secret",
    "headers": [(b"host", b"a.example")], "client": ("9.9.9.9", 1), "server": ("1.1.1.1", 80),
}  # fmt: skip


async def lines_of(
    app: ASGIApp, *messages: Message, scope: Scope = _SCOPE
) -> list[tuple[RequestLine, str]]:
    """Serve one request; return what was written, each line with its level."""
    written: list[tuple[RequestLine, str]] = []
    coming = iter(messages)

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line: Any = record.msg
            written.append((line, record.levelname))

    async def receive() -> Message:
        return next(coming)

    async def send(_: Message) -> None:
        pass

    keeper, log = Keeper(), logging.getLogger("proxy.requests")
    log.addHandler(keeper)
    log.setLevel(logging.INFO)
    try:
        await Logged(app, "public")(scope, receive, send)
    except (UpstreamFailed, asyncio.CancelledError, ZeroDivisionError):
        pass
    finally:
        log.removeHandler(keeper)
        log.setLevel(logging.NOTSET)
    return written


async def respond(send: Send, status: int = 200, body: bytes = b"four") -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    await send({"type": "http.response.body", "body": body[1:]})


async def test_what_passes_is_counted_and_timed() -> None:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await respond(send, 201)

    pieces: list[Message] = [
        {"type": "http.request", "body": b"one", "more_body": True},
        {"type": "http.request", "more_body": False},
    ]
    [(line, _)] = await lines_of(app, *pieces)
    assert (line.outcome, line.status, line.bytes_in, line.bytes_out) == ("answered", 201, 3, 4)
    assert (line.method, line.host, line.target) == (b"POST", b"a.example", b"/a?secret")
    assert (line.listener, line.client) == ("public", "9.9.9.9")
    assert line.first is not None
    assert 0 < line.first < line.seconds
    assert len(line.request_id) == 32


async def test_so_is_what_follows_an_upgrade() -> None:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": UPGRADE, "headers": []})
        await receive()
        await send({"type": RAW, "data": b"to you", "more": True})
        await send({"type": RAW, "data": b"", "more": False})

    [(line, _)] = await lines_of(app, {"type": RAW, "data": b"hi", "more": False})
    assert (line.status, line.bytes_in, line.bytes_out) == (101, 2, 6)


async def _refused(scope: Scope, _receive: Receive, send: Send) -> None:
    line_of(scope).refuse(Refusal(Code.REPLAYED, "seen"))
    await respond(send, 409)


async def _left(scope: Scope, _receive: Receive, _send: Send) -> None:
    line_of(scope).outcome = LEFT


async def _cancelled(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise asyncio.CancelledError


async def _broken(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise UpstreamFailed("the app went away")


async def _mistaken(scope: Scope, _receive: Receive, send: Send) -> None:
    line_of(scope).refuse(Refusal(Code.INTERNAL))
    await respond(send, 500)


async def _raising(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ZeroDivisionError


async def _apps_own_500(_scope: Scope, _receive: Receive, send: Send) -> None:
    await respond(send, 500)


async def _in_an_envelope(scope: Scope, _receive: Receive, send: Send) -> None:
    line_of(scope).status = 404  # as the envelope's request has it; outside it is 200
    await respond(send)


@pytest.mark.parametrize(
    ("app", "outcome", "status", "level", "detail"),
    [
        (_refused, "refused", 409, "WARNING", "seen"),
        (_left, "left", 0, "INFO", ""),
        (_cancelled, "left", 200, "INFO", ""),
        (_broken, "broken", 200, "WARNING", "the app went away"),
        (_mistaken, "refused", 500, "ERROR", ""),
        (_raising, "broken", 0, "WARNING", ""),
        (_apps_own_500, "answered", 500, "INFO", ""),
        (_in_an_envelope, "answered", 404, "INFO", ""),
    ],
)
async def test_whatever_becomes_of_a_request_it_has_one_line(
    app: ASGIApp, outcome: str, status: int, level: str, detail: str
) -> None:
    [(line, written_at)] = await lines_of(app)
    assert (line.outcome, line.status, line.detail) == (outcome, status, detail)
    assert written_at == level


async def test_what_nobody_wants_a_line_of_has_none_as_long_as_it_is_answered() -> None:
    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        line_of(scope).is_quiet = True
        await _refused(scope, receive, send) if scope["path"] == "/b" else await respond(send)

    assert await lines_of(quiet) == []
    assert len(await lines_of(quiet, scope={**_SCOPE, "path": "/b"})) == 1


async def test_without_one_who_writes_it_nobody_has_to_know() -> None:
    assert line_of({**_SCOPE, "client": None}).client == "unknown"


# How it is written.


SetUp = Callable[[logs.LogForm], TextIO]


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SetUp]:
    """Give what sets the log up, with a file as stderr, and returns what reads that file."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    hooks = sys.unraisablehook, threading.excepthook
    path = tmp_path / "stderr"
    with path.open("w") as file, path.open() as reader:

        def set_up(form: logs.LogForm) -> TextIO:
            monkeypatch.setattr(sys, "stderr", file)
            logs.set_up(form)
            return reader

        yield set_up
    root.handlers[:], root.level = before
    sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
    logging.getLogger("uvicorn").setLevel(logging.NOTSET)
    logging.getLogger("httpx").setLevel(logging.NOTSET)


@pytest.mark.parametrize("form", ["auto", "json", "text"])
def test_each_record_is_a_line_in_the_form_that_was_asked_for(
    form: logs.LogForm, set_up: SetUp
) -> None:
    stderr = set_up(form)
    logging.getLogger("proxy.contacts").info("the list changed: %s", "b\xf6b\n\x1b[31m")
    try:
        raise ValueError("forged\nline")  # noqa: TRY301 - what it looks like is asked here
    except ValueError:
        logging.getLogger("proxy").exception("a mistake of our own")
    logging.getLogger("proxy").debug("unheard")
    logs.finish()
    lines = stderr.read().splitlines()
    if form == "text":
        assert (
            lines[0].partition("Z ")[2] == "INFO contacts: the list changed: b\\u00f6b \\u001b[31m"
        )
        assert lines[1].partition("Z ")[2] == "ERROR proxy: a mistake of our own"
        assert lines[2] == "    Traceback (most recent call last):"
        assert all(line.startswith("    ") for line in lines[2:])
    else:
        first, second = map(json.loads, lines)
        assert (first["level"], first["logger"]) == ("info", "contacts")
        assert first["message"] == "the list changed: b\xf6b\n\x1b[31m"
        assert second["traceback"].endswith("ValueError: forged\nline")


async def test_the_lines_of_one_turn_of_the_loop_are_written_at_once_at_its_end(
    monkeypatch: pytest.MonkeyPatch, set_up: SetUp
) -> None:
    async def app(_: Scope, _receive: Receive, send: Send) -> None:
        await respond(send)

    async def nothing(_: Message) -> None:
        pass

    async def never() -> Message:
        raise NotImplementedError

    put: list[tuple[list[bytes], int]] = []
    monkeypatch.setattr(LogWriter, "put", lambda _, data, n: put.append((data.splitlines(), n)))
    set_up("json")
    for _ in range(3):
        await Logged(app, "public")(_SCOPE, never, nothing)
    assert put == []
    await asyncio.sleep(0)
    [(lines, number)] = put
    assert [json.loads(line)["outcome"] for line in lines] == ["answered"] * 3
    assert number == 3
    await asyncio.sleep(0)
    assert len(put) == 1


async def test_no_other_message_comes_before_a_line_that_waits_and_none_is_lost_at_the_end(
    set_up: SetUp,
) -> None:
    stderr = set_up("json")
    line = RequestLine()
    logs.write(line, logging.INFO)
    logs.write(line, logging.DEBUG)  # unheard
    logging.getLogger("proxy").error("a message")
    logs.write(line, logging.WARNING)
    logging.root.handlers[0].close()
    written = [json.loads(text) for text in stderr.read().splitlines()]
    assert [each["level"] for each in written] == ["info", "error", "warning"]


def test_what_python_would_write_to_stderr_itself_is_logged(set_up: SetUp) -> None:
    stderr = set_up("json")
    logging.getLogger("proxy").info("%d", "no number")

    class Unraisable:
        def __del__(self) -> None:
            raise ZeroDivisionError

    Unraisable()
    thread = threading.Thread(target=[].pop)
    thread.start()
    thread.join()
    logs.finish()
    told = [json.loads(line) for line in stderr.read().splitlines()]
    assert told[0]["message"] == "a message that can't be shown: '%d'"
    assert "ZeroDivisionError" in told[-2]["traceback"]
    assert "IndexError" in told[-1]["traceback"]


def test_times_are_utc_to_the_millisecond() -> None:
    record = logging.LogRecord("proxy", logging.INFO, "", 0, "x", None, None)
    form = logs.Json()
    for created, time in ((0.0, "1970-01-01T00:00:00.000Z"), (1.9996, "1970-01-01T00:00:01.999Z")):
        record.created = created
        assert json.loads(form.format(record))["time"] == time


def test_two_processes_made_of_one_give_different_ids() -> None:
    run_alone(_give_ids_in_two_processes)


def _give_ids_in_two_processes() -> None:
    before = line_of(_SCOPE).request_id
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, line_of(_SCOPE).request_id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 32).decode()
    os.close(reading)
    os.close(writing)
    ours = line_of(_SCOPE).request_id
    assert len({before, ours, theirs}) == 3
