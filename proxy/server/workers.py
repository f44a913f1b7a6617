"""Several processes that serve one Portal: forked with its listening sockets, and ended together.

The first process only watches. A worker that something killed is replaced; one that ended by itself
had its reason, and all end with it. What workers share is on disk (``proxy.state.layout``) and in
the kernel's queues of connections; nothing is shared in memory.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

log = logging.getLogger("proxy.workers")

_SOONEST = 1.0
"""Seconds between two starts in the same place: what dies at once isn't started all the time."""
_FORWARDED = {signal.SIGINT, signal.SIGTERM}

Work = Callable[[int], int]
"""What a worker does: given a descriptor that is at its end when the first process has gone, it
returns the exit status. SIGTERM is blocked until it lets it through, and ends it then."""


class Workers:
    """The first process; ``count`` workers do ``work``."""

    def __init__(self, count: int, work: Work, close_sockets: Callable[[], None]) -> None:
        """``close_sockets`` closes what only workers use, once no further one will be started."""
        self._count = count
        self._work = work
        self._close_sockets = close_sockets
        self._started: dict[int, float] = {}
        """When each running worker was started, by its process ID."""
        self._is_ending = False
        self._status = 0
        self._pipe_reader, self._pipe_writer = os.pipe()

    def run(self) -> int:
        """Run until every worker has ended; returns the exit status."""
        before = {number: signal.signal(number, self._forward) for number in _FORWARDED}
        try:
            for _ in range(self._count):
                self._start()
            while self._started:
                self._await_one()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._pipe_reader)
            os.close(self._pipe_writer)
        return self._status

    def _start(self) -> None:
        """Fork, unless the end has come; while it isn't known whom to tell, signals wait."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
        try:
            if self._is_ending:
                return
            process = os.fork()
            if process == 0:
                self._be_worker()
            self._started[process] = time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)

    def _be_worker(self) -> None:
        """Work, and never return to what the first process does."""
        status = 1
        try:
            os.close(self._pipe_writer)  # or no worker would ever see its end
            # Ctrl-C reaches every process of a terminal; to the workers the first one passes it on.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            status = self._work(self._pipe_reader)
        except BaseException:
            log.exception("a worker failed")
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)

    def _await_one(self) -> None:
        process, how = os.wait()
        started = self._started.pop(process, None)
        if started is None or self._is_ending:
            self._status = self._status or _status(how)
            return
        if os.WIFSIGNALED(how):
            log.error("worker %d was ended by signal %d; another takes over", process,
                      os.WTERMSIG(how))  # fmt: skip
            time.sleep(max(0.0, started + _SOONEST - time.monotonic()))
            self._start()
            return
        self._status = _status(how)
        log.error("worker %d ended by itself: so all end", process)
        self._tell_all()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._tell_all()

    def _tell_all(self) -> None:
        self._is_ending = True
        self._close_sockets()
        for process in list(self._started):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)


def _status(how: int) -> int:
    """Return the exit status that a worker's end calls for."""
    return os.waitstatus_to_exitcode(how) if os.WIFEXITED(how) else 1
