"""How the log is written: on stderr, a line for each record, as JSON or for a person to read.

``auto`` is text at a terminal, and JSON elsewhere, where a program collects the lines.
"""

import logging
import sys
import time
from typing import Literal

from proxy.core.log_line import (
    RequestLine,
    as_json,
    as_text,
    message_as_json,
    message_as_text,
)

LogForm = Literal["auto", "json", "text"]

_ROOT = "proxy."


def set_up(form: LogForm) -> None:
    """Write the log of this process to stderr in ``form``."""
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text())
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

    def time_of(self, record: logging.LogRecord) -> str:
        """Return the record's time in UTC as RFC 3339 has it, to the millisecond."""
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._shown_second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._shown_second}.{int(record.created % 1 * 1000):03d}Z"

    def trace_of(self, record: logging.LogRecord) -> str:
        """Return the traceback of the error that the record tells of; "" where there is none."""
        return self.formatException(record.exc_info) if record.exc_info else ""


class Json(_Lines):
    """One JSON object on each line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        when, level = self.time_of(record), record.levelname.lower()
        if isinstance(record.msg, RequestLine):
            return as_json(record.msg, when, level)
        room = record.name.removeprefix(_ROOT)
        return message_as_json(when, level, room, record.getMessage(), self.trace_of(record))


class Text(_Lines):
    """A line for a person; behind it, indented, an error's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        start = f"{self.time_of(record)} {record.levelname}"
        if isinstance(record.msg, RequestLine):
            return f"{start} {as_text(record.msg)}"
        message = message_as_text(record.getMessage(), self.trace_of(record))
        return f"{start} {record.name.removeprefix(_ROOT)}: {message}"
