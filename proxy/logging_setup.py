"""How the log is written: on stderr, a line for each record, as JSON or for a person to read.

``auto`` is text at a terminal, and JSON elsewhere, where a program collects the lines. The lines of
the requests that end in one turn of the event loop are put together, at its end; any other message
at once, behind what waits. A thread writes them (``proxy.log_writer``): nobody here waits.
"""

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from typing import Literal

from proxy.core.log_line import (
    RequestLine,
    as_json,
    as_text,
    message_as_json,
    message_as_text,
)
from proxy.log_writer import LAST_WAIT, LogWriter, Loss

LogForm = Literal["auto", "json", "text"]

_ROOT = "proxy."
REQUESTS = "proxy.requests"
_log = logging.getLogger(REQUESTS)
_other = logging.getLogger("proxy")
_LEVELS = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARNING",
           logging.ERROR: "ERROR"}  # fmt: skip


def set_up(log_format: LogForm) -> None:
    """Write the log of this process to stderr in ``log_format``."""
    # Where stderr was closed, its number is given to whatever is opened next.
    descriptor = sys.stderr.fileno() if sys.stderr is not None else -1
    handler = _Batching(descriptor, _form(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Nobody asks a record for these; finding them out would take as long as all the rest.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # These would be written to stderr by whoever they happen to, who would have to wait.
    logging.captureWarnings(capture=True)
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_of_thread


def take_form(log_format: LogForm) -> None:
    """Write the log in ``log_format`` from the next line on."""
    for handler in _handlers():
        handler.take_form(_form(log_format))


def dropped() -> int:
    """Return how many lines this process couldn't write since it was started."""
    return sum(handler.dropped for handler in _handlers())


def problem() -> str:
    """Return why this process can't write its log just now; "" where it can."""
    return "; ".join(filter(None, (handler.problem() for handler in _handlers())))


def finish() -> None:
    """Have written what waits, as far as that takes no longer than a second."""
    for handler in _handlers():
        handler.flush()


def _handlers() -> "list[_Batching]":
    return [handler for handler in logging.root.handlers if isinstance(handler, _Batching)]


def _log_unraisable(raised: "sys.UnraisableHookArgs") -> None:
    value = raised.exc_value or raised.exc_type()
    what = raised.err_msg or "an exception was ignored in"
    _other.error("%s: %r", what, raised.object, exc_info=value)


def _log_of_thread(raised: threading.ExceptHookArgs) -> None:
    if raised.exc_value is not None and raised.exc_type is not SystemExit:
        _other.error("a thread ended by an exception", exc_info=raised.exc_value)


class _Lines(logging.Formatter):
    """What both forms share."""

    _shown = (-1, "")
    """A second and how it is shown; in one, as several threads log."""

    def time_of(self, now: float) -> str:
        """Return ``now`` (Unix seconds) in UTC as RFC 3339 has it, to the millisecond."""
        second, shown = self._shown
        if int(now) != second:
            second = int(now)
            shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._shown = second, shown
        return f"{shown}.{int(now % 1 * 1000):03d}Z"

    def line_of(self, line: RequestLine, when: str, level: str) -> str:
        """Return a request's line as it is written; ``when`` by ``time_of``."""
        raise NotImplementedError

    def trace_of(self, record: logging.LogRecord) -> str:
        """Return the traceback of the error that the record tells of; "" where there is none."""
        return self.formatException(record.exc_info) if record.exc_info else ""


class Json(_Lines):
    """One JSON object on each line."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, RequestLine):
            return self.line_of(record.msg, self.time_of(record.created), record.levelname)
        when, level = self.time_of(record.created), record.levelname.lower()
        logger = record.name.removeprefix(_ROOT)
        return message_as_json(when, level, logger, record.getMessage(), self.trace_of(record))

    def line_of(self, line: RequestLine, when: str, level: str) -> str:
        return as_json(line, when, level.lower())


class Text(_Lines):
    """A line for a person; behind it, indented, an error's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, RequestLine):
            return self.line_of(record.msg, self.time_of(record.created), record.levelname)
        start = f"{self.time_of(record.created)} {record.levelname}"
        message = message_as_text(record.getMessage(), self.trace_of(record))
        return f"{start} {record.name.removeprefix(_ROOT)}: {message}"

    def line_of(self, line: RequestLine, when: str, level: str) -> str:
        return f"{when} {level} {as_text(line)}"


def _form(log_format: LogForm) -> Json | Text:
    if log_format == "auto":
        log_format = "text" if sys.stderr is not None and sys.stderr.isatty() else "json"
    return Json() if log_format == "json" else Text()


class _Batching(logging.Handler):
    """The log of this process, written with as few writes as can be without keeping any back."""

    def __init__(self, descriptor: int, form: Json | Text) -> None:
        super().__init__()
        self.setFormatter(form)
        self._form = form
        self._writer = LogWriter(descriptor, self._told)
        self._lines: deque[str] = deque()
        self._is_due = False
        self._when = ""
        """The time of the lines that wait, and of further ones in this turn."""

    def take_form(self, form: Json | Text) -> None:
        """Write in ``form`` from the next line on."""
        self._put_lines()
        self.setFormatter(form)
        self._form = form

    @property
    def dropped(self) -> int:
        return self._writer.dropped

    def problem(self) -> str:
        return self._writer.problem()

    def note(self, line: RequestLine, level: int) -> None:
        """Write a request's line once the loop's turn is over; only from the loop's own thread."""
        when = self._when
        if not when:
            when = self._when = self._form.time_of(time.time())
        self._lines.append(self._form.line_of(line, when, _LEVELS[level]))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, behind the lines that wait."""
        self._put_lines()
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - as any handler: a log that fails stops nothing
            text = self._form.format(
                _message(f"a message that can't be shown: {record.msg!r:.200}")
            )
        self._writer.put(_encoded(text))

    def flush(self) -> None:
        self._put_lines()
        self._writer.flush(LAST_WAIT)

    def close(self) -> None:
        self.flush()
        super().close()

    def _end_turn(self) -> None:
        self._is_due = False
        self._put_lines()

    def _put_lines(self) -> None:
        self.acquire()  # messages may come from other threads
        try:
            self._when = ""
            if lines := [self._lines.popleft() for _ in range(len(self._lines))]:
                self._writer.put(_encoded("\n".join(lines)), len(lines))
        finally:
            self.release()

    def _told(self, loss: Loss) -> bytes:
        since = self._form.time_of(loss.since)
        what = f"{loss.lines} lines of the log were dropped since {since}: nobody took them"
        return _encoded(self._form.format(_message(what)))


def _encoded(text: str) -> bytes:
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _message(text: str) -> logging.LogRecord:
    return logging.LogRecord("proxy.log", logging.ERROR, "", 0, text, None, None)


def write(line: RequestLine, level: int) -> None:
    """Write the line of a request that is over; called in the event loop.

    A record of logging's is made where somebody else listens too. It would cost more than the line.
    """
    if not _log.isEnabledFor(level):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], _Batching) and not _log.handlers:
        handlers[0].note(line, level)
    else:
        # Not log.log(), which looks for its caller at each line.
        _log.handle(logging.LogRecord(REQUESTS, level, "", 0, line, None, None))
