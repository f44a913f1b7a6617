"""What signals do to ``serve`` before it serves, and while it leaves; ``run`` has what is between.

TERM, INT and QUIT end it in order, HUP has it look at its files (where it comes early: as soon as
it serves), and no other one that a person or a program sends ends it without a word. A signal with
no handler would: by its default it kills, or in a container, where this is the first process, it
does nothing and the stop waits for the kill.

Nothing large is imported here: until this has run, what the system does by default holds.
"""

import atexit
import os
import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
RELOADING = signal.SIGHUP
IGNORED = (
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
)  # fmt: skip
"""What means nothing here."""
HANDLED = frozenset((*ENDING, RELOADING, *IGNORED))

_told: set[int] = set()
_kept: set[int] = set()


def begin() -> None:
    """Be ready for signals while the program is still being imported."""
    leave_at_once()
    # Behind everything else that is done at the exit.
    atexit.register(ignore_all)


def leave_at_once() -> None:
    """Have whoever ends it now end it at once, with status 0: nothing was begun, or all is done."""
    for number in ENDING:
        signal.signal(number, _leave)
    signal.signal(RELOADING, _keep)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


def ignore_all() -> None:
    """Have no signal change how it ends, now that Python takes its handlers off.

    Where a handler was, Python puts the default back, by which the signal kills; what is ignored it
    leaves so. To block signals isn't enough: a thread that a disk holds up would take them.
    """
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)


def take_kept() -> tuple[int, ...]:
    """Return, once, what came before anybody heard it: the files were perhaps read before."""
    kept = tuple(_kept)
    _kept.clear()
    return kept


def hear(loop: "asyncio.AbstractEventLoop", actions: Mapping[int, Callable[[], None]]) -> None:
    """From now on do in ``loop`` what belongs to a signal's number; of several at once, one.

    Not by the loop's own handlers: those pass each signal through a socket, and once that is full,
    as while the process is busy and somebody sends hundreds, the one that ends it would be lost.
    """
    waiting: set[int] = set()

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if number not in waiting:
            waiting.add(number)
            loop.call_soon_threadsafe(act, number)

    def act(number: int) -> None:
        waiting.discard(number)
        actions[number]()

    for number in actions:
        signal.signal(number, note)
    for number in actions.keys() & take_kept():
        note(number, None)


def block() -> None:
    """Let signals wait: from its first moment a socket lets clients in, who have to be served."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def unblock() -> None:
    """Have what waits done."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def tell_ignored(number: int) -> None:
    """Log that a signal has no effect, the first time that it comes."""
    import logging  # noqa: PLC0415 - as above: this module is the first to be there

    if number not in _told:
        _told.add(number)
        log = logging.getLogger("proxy.signals")
        log.warning("%s means nothing to the proxy", signal.Signals(number).name)


def _keep(number: int, frame: FrameType | None) -> None:
    del frame
    _kept.add(number)


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(0)
