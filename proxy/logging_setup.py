"""How the log is written: on stderr, a line for each record, as JSON or for a person to read.

``auto`` is text at a terminal, and JSON elsewhere, where a program collects the lines. The lines of
the requests that end in one turn of the event loop are written together, at its end; any other
message at once, behind what waits.
"""

import asyncio
import logging
import sys
import time
from collections import deque
from typing import Literal, TextIO

from proxy.core.log_line import (
    RequestLine,
    as_json,
    as_text,
    message_as_json,
    message_as_text,
)

LogForm = Literal["auto", "json", "text"]

_ROOT = "proxy."
REQUESTS = "proxy.requests"
_log = logging.getLogger(REQUESTS)


def set_up(log_format: LogForm) -> None:
    """Write the log of this process to stderr in ``log_format``."""
    if log_format == "auto":
        log_format = "text" if sys.stderr.isatty() else "json"
    handler = _Batching(sys.stderr, Json() if log_format == "json" else Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Nobody asks a record for these; finding them out would take as long as all the rest.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class _Lines(logging.Formatter):
    """What both forms share."""

    _second = -1
    _shown_second = ""

    def time_of(self, now: float) -> str:
        """Return ``now`` (Unix seconds) in UTC as RFC 3339 has it, to the millisecond."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._shown_second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._shown_second}.{int(now % 1 * 1000):03d}Z"

    def line_of(self, line: RequestLine, now: float, level: str) -> str:
        """Return a request's line as it is written."""
        raise NotImplementedError

    def trace_of(self, record: logging.LogRecord) -> str:
        """Return the traceback of the error that the record tells of; "" where there is none."""
        return self.formatException(record.exc_info) if record.exc_info else ""


class Json(_Lines):
    """One JSON object on each line."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, RequestLine):
            return self.line_of(record.msg, record.created, record.levelname)
        when, level = self.time_of(record.created), record.levelname.lower()
        logger = record.name.removeprefix(_ROOT)
        return message_as_json(when, level, logger, record.getMessage(), self.trace_of(record))

    def line_of(self, line: RequestLine, now: float, level: str) -> str:
        return as_json(line, self.time_of(now), level.lower())


class Text(_Lines):
    """A line for a person; behind it, indented, an error's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, RequestLine):
            return self.line_of(record.msg, record.created, record.levelname)
        start = f"{self.time_of(record.created)} {record.levelname}"
        message = message_as_text(record.getMessage(), self.trace_of(record))
        return f"{start} {record.name.removeprefix(_ROOT)}: {message}"

    def line_of(self, line: RequestLine, now: float, level: str) -> str:
        return f"{self.time_of(now)} {level} {as_text(line)}"


class _Batching(logging.StreamHandler[TextIO]):
    """The log of this process, written with as few writes as can be without keeping any back."""

    def __init__(self, stream: TextIO, form: Json | Text) -> None:
        super().__init__(stream)
        self.setFormatter(form)
        self._form = form
        self._lines: deque[str] = deque()
        self._is_due = False

    def note(self, line: RequestLine, level: int) -> None:
        """Write a request's line once the loop's turn is over; only from the loop's own thread."""
        text = self._form.line_of(line, time.time(), logging.getLevelName(level))
        self._lines.append(text + self.terminator)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, behind the lines that wait."""
        self._write()
        super().emit(record)

    def close(self) -> None:
        self._write()
        super().close()

    def _end_turn(self) -> None:
        self._is_due = False
        self._write()

    def _write(self) -> None:
        self.acquire()  # messages may come from other threads
        try:
            if text := "".join([self._lines.popleft() for _ in range(len(self._lines))]):
                self.stream.write(text)
                self.stream.flush()
        except Exception:  # noqa: BLE001 - as any handler: a log that fails stops nothing
            self.handleError(logging.LogRecord(REQUESTS, logging.ERROR, "", 0, "", None, None))
        finally:
            self.release()


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
