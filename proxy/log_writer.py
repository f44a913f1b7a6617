"""Where lines of the log wait until a thread has written them: whoever logs never waits.

A pipe that nobody reads, a full disk, a terminal that was stopped: they hold up this thread alone.
What waits is bounded. What comes beyond that is dropped and counted, and told once writing works.
"""

import os
import select
import signal
import stat
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

MOST_BYTES = 4 << 20
"""Bytes of lines that wait at most."""
MOST_LINES = 20_000
LAST_WAIT = 1.0
"""Seconds that the end of the process waits for what wasn't written yet."""
_REST = 0.005
"""Seconds between two writes: a thread that woke for each request would cost as much as it."""
_RETRY = 1.0
"""Seconds until a log that couldn't be written is tried again, though nobody logs anything."""
_STALLED = 5.0
"""Seconds after which a write that hasn't returned is a problem."""
_ATOMIC = select.PIPE_BUF
"""Bytes that one write puts into a pipe without another process's between them."""
_MOST_AT_ONCE = 64 * 1024


class Loss(NamedTuple):
    """How many lines were dropped, and the Unix time of the first."""

    lines: int
    since: float


class _Lines(NamedTuple):
    data: bytes
    """Whole lines."""
    number: int


class LogWriter:
    """Writes to ``descriptor`` in a thread that is started with the first line.

    ``told`` makes the line that tells of a ``Loss``. After a fork the child has a thread and a
    queue of its own; what waited then is the parent's to write.
    """

    def __init__(self, descriptor: int, told: Callable[[Loss], bytes]) -> None:
        self.dropped = 0
        """Lines that were dropped since the start of this process."""
        self._descriptor = descriptor
        self._told = told
        self._begin()
        _writers.add(self)

    def _begin(self) -> None:
        # Signal handlers log too: both may be taken again by who is interrupted while it has them.
        self._lock = threading.RLock()
        self._queue: SimpleQueue[_Lines | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting_bytes = self._waiting_lines = 0
        self._is_full = self._is_torn = False
        self._untold = 0
        self._since = 0.0
        self._failure = ""
        self._writing_since = 0.0

    def after_fork(self) -> None:
        """Be the writer of a new process."""
        self.dropped = 0
        self._begin()

    def put(self, data: bytes, count: int = 1) -> None:
        """Have ``count`` whole lines written; never waits for that.

        Of several none has a line feed but at its end.
        """
        with self._lock:
            if self._thread is None and not self._start():
                self._drop(count)
                return
            # Once full, half of it must have gone: else a slow reader would be told all the time.
            share = 2 if self._is_full else 1
            self._is_full = (
                self._waiting_bytes + len(data) > MOST_BYTES // share
                or self._waiting_lines + count > MOST_LINES // share
            )
            if self._is_full:
                self._drop(count)
                return
            self._waiting_bytes += len(data)
            self._waiting_lines += count
            self._queue.put(_Lines(data, count))

    def flush(self, wait: float = LAST_WAIT) -> bool:
        """Wait until all that was put is written or dropped, ``wait`` seconds at most."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return True
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(wait)

    def problem(self) -> str:
        """Return why lines are dropped or held up just now; "" where they aren't."""
        stalled = self._writing_since and time.monotonic() - self._writing_since > _STALLED
        if not (self._is_full or self._failure or stalled):
            return ""
        why = f"can't be written ({self._failure})" if self._failure else "isn't read"
        return f"{why}: {self._untold} lines were dropped; look at what takes this process's stderr"

    def _drop(self, count: int) -> None:
        self.dropped += count
        if not self._untold:
            self._since = time.time()
        self._untold += count

    def _start(self) -> bool:
        # A signal that this thread took would not wake the one that waits for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            thread.start()
        except RuntimeError:  # no thread can be had, or the interpreter is about to end
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._thread = thread
        return True

    def _run(self) -> None:
        """Write what comes, until the process ends."""
        is_pipe = True
        with suppress(OSError):
            is_pipe = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        most = _ATOMIC if is_pipe else _MOST_AT_ONCE
        while True:
            try:
                self._write_next(most)
            except Exception as error:  # noqa: BLE001 - without this thread nothing is logged at all
                self._failure = repr(error)
            time.sleep(_REST)

    def _write_next(self, most: int) -> None:
        """Wait for something to write, and write all there is."""
        try:
            waited = [self._queue.get(timeout=_RETRY if self._failure else None)]
        except Empty:
            self._tell()
            return
        with suppress(Empty):
            while len(waited) < MOST_LINES:
                waited.append(self._queue.get_nowait())
        self._write_all(waited, most)
        if not self._failure:
            self._tell()

    def _write_all(self, waited: list[_Lines | threading.Event], most: int) -> None:
        """Write with few calls, of ``most`` bytes where lines aren't longer."""
        batch: list[_Lines] = []
        size = 0
        for each in waited:
            if isinstance(each, threading.Event):
                self._write(batch)
                batch, size = [], 0
                each.set()
                continue
            for lines in _split(each, most):
                if batch and size + len(lines.data) > most:
                    self._write(batch)
                    batch, size = [], 0
                batch.append(lines)
                size += len(lines.data)
        self._write(batch)

    def _write(self, batch: list[_Lines]) -> None:
        """Write whole lines in one call; what can't be written is dropped."""
        if not batch:
            return
        data, number = b"".join([lines.data for lines in batch]), sum(each.number for each in batch)
        written = 0
        try:
            # Where it failed, the line about that is the first to be written again.
            if not self._failure or self._tell():
                written = self._write_data(data)
        finally:
            with self._lock:
                self._waiting_bytes -= len(data)
                self._waiting_lines -= number
                if written < len(data):
                    self._drop(_lines_behind(written, batch))

    def _tell(self) -> bool:
        """Tell of what was dropped, unless more is just now; tells whether writing works."""
        with self._lock:
            lost = self._untold
            is_growing = not self._failure and self._is_full and self._waiting_bytes
            if not lost or is_growing:
                return True
            line = self._told(Loss(lost, self._since))
        if self._write_data(line) < len(line):
            return False
        with self._lock:
            self._untold -= lost
            self._since = time.time()
            self._is_full = self._is_full and self._waiting_bytes > 0
        return True

    def _write_data(self, data: bytes) -> int:
        """Write all of it; returns how many bytes could be written."""
        begun = b"\n" if self._is_torn else b""
        data = begun + data
        written = 0
        self._writing_since = time.monotonic()
        try:
            while written < len(data):
                try:
                    written += os.write(self._descriptor, memoryview(data)[written:])
                except BlockingIOError:  # somebody made it so whose it is too
                    _wait_for(self._descriptor)
        except OSError as error:
            self._failure = error.strerror or str(error)
            if written:
                self._is_torn = data[written - 1 : written] != b"\n"
            return max(0, written - len(begun))
        finally:
            self._writing_since = 0.0
        self._failure, self._is_torn = "", False
        return written - len(begun)


def _lines_behind(written: int, batch: list[_Lines]) -> int:
    """Return how many lines of ``batch`` aren't whole in its first ``written`` bytes."""
    behind = 0
    for lines in batch:
        size = len(lines.data)
        if written < size:
            there = lines.data.count(b"\n", 0, max(0, written)) if lines.number > 1 else 0
            behind += lines.number - there
        written -= size
    return behind


def _wait_for(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll(1000)


def _split(lines: _Lines, most: int) -> list[_Lines]:
    """Cut lines that were put together, so that each part has ``most`` bytes or is one line."""
    if len(lines.data) <= most or lines.number == 1:
        return [lines]
    parts, start, end = [], 0, 0
    for each in lines.data.splitlines(keepends=True):
        if end > start and end + len(each) - start > most:
            parts.append(_Lines(lines.data[start:end], lines.data.count(b"\n", start, end)))
            start = end
        end += len(each)
    parts.append(_Lines(lines.data[start:end], lines.data.count(b"\n", start, end)))
    return parts


_writers: weakref.WeakSet[LogWriter] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in _writers:
        writer.after_fork()


os.register_at_fork(after_in_child=_after_fork)
