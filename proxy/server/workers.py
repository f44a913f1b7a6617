"""Several processes that serve one Portal: forked with its listening sockets, and ended together.

The first process takes no connection. It watches: whatever ends a worker, another one takes its
place, and one that doesn't run any more is killed for it. Only where none of them can start at all
does it give up. It looks at the Portal's files as each worker does, so that what is forked later
begins with what was last good, whatever the files hold by then.
"""

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from proxy.server.orphans import end_without_parent
from proxy.server.service_manager import ServiceManager
from proxy.server.signals import ENDING, HANDLED, IGNORED, RELOADING, take_kept, tell_ignored
from proxy.server.worker_table import WorkerTable

log = logging.getLogger("proxy.workers")

SILENCE = 30.0
"""Seconds without a sign of life after which a worker is killed: far longer than the event loop
of a machine that is very busy stands still."""
STARTING = 120.0
"""The same for one that hasn't served yet."""
LATE = 5.0
"""Seconds beyond ``grace`` until workers that haven't ended are killed: what is cut off unwinds."""
AT_ONCE = 3.0
"""The same after a second signal."""
LOOK = 0.5
"""Seconds between two looks at the workers, and at the files."""
HANGING = 5.0
"""Seconds after which a look at the files is waited for no longer."""
LOOKER = "look"
"""The name of the thread that looks at the files."""

_SOONEST = 1.0
"""Seconds between two starts in the same place: what dies at once isn't started all the time."""
_LATEST = 10.0
"""The same after several in a row."""
_LONG_ENOUGH = 10.0
"""Seconds of serving after which a worker that ends counts as one that could work."""
_SIGNALS = HANDLED | {signal.SIGCHLD}

Work = Callable[[int, int], int]
"""What a worker does: given its number, and a descriptor that is at its end when the first process
has gone, it returns the exit status. Signals are blocked until it lets them through."""


@dataclass
class _Place:
    """The place of one worker, whichever process has it."""

    number: int
    process: int = 0
    started: float = 0.0
    due: float = 0.0
    """When the next one is to be started, while there is none."""
    failures: int = 0
    """How many in a row couldn't work."""
    last_beat: float = 0.0
    silence: float = 0.0
    """Seconds for which we looked and it showed no life."""
    is_killed: bool = False


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Told:
    """Who hears of what the first process is told."""

    on_reload: Callable[[], None]
    manager: ServiceManager
    who: str
    """Whom all of them serve, for the manager."""


class Workers:
    """The first process; the workers of ``table`` do ``work``."""

    def __init__(
        self,
        table: WorkerTable,
        work: Work,
        grace: Callable[[], float],
        look: Callable[[], None],
        close_sockets: Callable[[], None],
        forget: Callable[[int], None],
        told: "Told | None" = None,
    ) -> None:
        """``told`` hears of a reload, and has the service manager hear how all are.

        ``look`` is called every ``LOOK`` seconds, ``forget`` when a worker has ended.

        ``close_sockets`` closes what only workers use, once no further one will be started.
        """
        self._table = table
        self._work = work
        self._grace = grace
        self._look = look
        self._close_sockets = close_sockets
        self._forget = forget
        self._told = told or Told(_nothing, ServiceManager(environ={}), "")
        self._places = [_Place(number) for number in range(table.count)]
        self._has_served = False
        self._kill_at = 0.0
        """When whoever still runs is killed; 0 while nobody has to end."""
        self._status = 0
        self._watched = 0.0
        self._looked = 0.0
        self._looker: threading.Thread | None = None
        self._look_began = 0.0
        self._signals: list[int] = []
        self._pipe_reader, self._pipe_writer = os.pipe()
        self._wakeup_reader, self._wakeup_writer = os.pipe()

    def run(self) -> int:
        """Run until every worker has ended; returns the exit status."""
        try:
            with self._receiving():
                while self._goes_on():
                    self._take_turn()
        finally:
            for descriptor in (self._pipe_reader, self._pipe_writer, self._wakeup_reader,
                               self._wakeup_writer):  # fmt: skip
                os.close(descriptor)
        return self._status

    def _goes_on(self) -> bool:
        if any(place.process for place in self._places):
            return True
        if self._kill_at:
            return False
        if self._has_served or not any(place.failures for place in self._places):
            return True
        log.error("no worker could start")
        self._status = 1
        return False

    def _take_turn(self) -> None:
        self._note_served()
        self._told.manager.lives()
        if not self._kill_at:
            self._start_due()
        select.select([self._wakeup_reader], [], [], LOOK)
        with suppress(BlockingIOError):
            os.read(self._wakeup_reader, 4096)
        while self._signals:
            self._obey(self._signals.pop(0))
        self._reap()
        now = time.monotonic()
        if self._kill_at:
            if now >= self._kill_at:
                self._kill_late()
            return
        if now - self._watched >= LOOK:
            self._kill_silent(min(now - self._watched, 2 * LOOK))
            self._watched = now
        if now - self._looked >= LOOK:  # SIGHUP has this one come sooner, and no worker seem silent
            self._looked = now
            self._begin_look(now)

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        """Have signals noted, and wake us up."""
        for descriptor in (self._wakeup_reader, self._wakeup_writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wakeup_writer, warn_on_full_buffer=False)
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        self._signals += take_kept()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(-1)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._signals.append(number)

    # Starting.

    def _begin_look(self, now: float) -> None:
        """Look at the files in a thread: a disk that hangs must hold up no signal and no end."""
        if self._is_looking():
            return
        # A signal that this thread took would not wake the one that waits for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._looker = threading.Thread(target=self._look, name=LOOKER, daemon=True)
            self._looker.start()
            self._look_began = now
        except RuntimeError as error:  # no thread can be had just now
            log.error("the files can't be followed: %s", error)  # noqa: TRY400 - the machine's fault
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _is_looking(self) -> bool:
        return self._looker is not None and self._looker.is_alive()

    def _start_due(self) -> None:
        now = time.monotonic()
        if self._is_looking() and now - self._look_began < HANGING:
            return  # what is read just now is what the next worker is to begin with
        for place in self._places:
            if place.process or now < place.due:
                continue
            if place.failures and not self._has_served:
                continue  # it may be that none can
            self._start(place)

    def _start(self, place: _Place) -> None:
        """Fork; until a worker is ready for signals, those to it wait."""
        place.started = time.monotonic()
        place.silence, place.is_killed = 0.0, False
        self._table.begin(place.number)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process = os.fork()
            if process == 0:
                self._be_worker(place.number)
            place.process = process
            self._table.started(place.number, process)
        except OSError as error:
            log.error("no worker can be started: %s", error)  # noqa: TRY400 - the machine's fault
            self._wait_longer(place)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _be_worker(self, number: int) -> None:
        """Work, and never return to what the first process does."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
            for descriptor in (self._pipe_writer, self._wakeup_reader, self._wakeup_writer):
                os.close(descriptor)  # or no worker would ever see the pipe's end
            end_without_parent(self._pipe_reader, self._grace() + LATE)
            status = self._work(number, self._pipe_reader)
        except BaseException:
            log.exception("a worker failed")
        finally:
            logging.shutdown()
            os._exit(status)

    # Watching.

    def _reap(self) -> None:
        while any(place.process for place in self._places):
            process, how = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            for place in self._places:
                if place.process == process:
                    place.process = 0
                    self._ended(place, process, how)

    def _ended(self, place: _Place, process: int, how: int) -> None:
        self._note_served()
        self._forget(place.number)
        code = os.waitstatus_to_exitcode(how)
        if self._kill_at:
            if code != 0 and not place.is_killed:
                self._status = max(1, code)
            return
        self._wait_longer(place)
        if place.is_killed:
            return  # that was told
        how_it_ended = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        log.error("worker %d %s; another takes over", process, how_it_ended)

    def _note_served(self) -> None:
        if not self._has_served and self._any_serves():
            self._has_served = True
            self._told.manager.serves(self._told.who)

    def _wait_longer(self, place: _Place) -> None:
        """Settle when the next one is started in this place."""
        now = time.monotonic()
        could_work = now - place.started >= _LONG_ENOUGH and self._table.is_serving(place.number)
        place.failures = 0 if could_work else place.failures + 1
        wait = min(_SOONEST * 2 ** min(place.failures, 10) / 2, _LATEST)
        place.due = now if could_work else now + wait

    def _any_serves(self) -> bool:
        return any(self._table.is_serving(place.number) for place in self._places)

    def _kill_silent(self, elapsed: float) -> None:
        """Kill who shows no life; only the time counts in which we ran ourselves."""
        for place in self._places:
            beat = self._table.last_beat(place.number)
            place.silence = place.silence + elapsed if beat == place.last_beat else 0.0
            place.last_beat = beat
            serves = self._table.is_serving(place.number)
            is_over = place.silence > (SILENCE if serves else STARTING)
            if place.process and not place.is_killed and is_over:
                log.error("worker %d hasn't run for %.0f s: it is killed, and another takes over",
                          place.process, place.silence)  # fmt: skip
                self._table.replaces_silent(place.number)
                self._kill(place)

    def _kill(self, place: _Place) -> None:
        place.is_killed = True
        with suppress(ProcessLookupError):
            os.kill(place.process, signal.SIGKILL)

    # Ending.

    def _obey(self, number: int) -> None:
        if number in ENDING:
            self._end()
        elif number == RELOADING:
            self._looked = 0.0
            self._told.manager.reloads()
            self._told.on_reload()
            self._tell_all(number)
        elif number in IGNORED:
            tell_ignored(number)

    def _end(self) -> None:
        """Have all end: the first time in order, the second time at once."""
        self._told.manager.ends()
        patience = AT_ONCE if self._kill_at else self._grace() + LATE
        until = time.monotonic() + patience
        self._kill_at = min(self._kill_at, until) if self._kill_at else until
        self._table.stage += 1
        self._close_sockets()
        self._tell_all(signal.SIGTERM)

    def _kill_late(self) -> None:
        for place in self._places:
            if place.process and not place.is_killed:
                log.error("worker %d doesn't end: it is killed", place.process)
                self._kill(place)

    def _tell_all(self, number: int) -> None:
        for place in self._places:
            if place.process:
                with suppress(ProcessLookupError):
                    os.kill(place.process, number)
