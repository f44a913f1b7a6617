"""A worker whose first process is gone ends, whatever it does: else it would keep the address.

In order it ends by itself, when a pipe is at its end (``run``). What is here is for one that can't:
one that was stopped is woken up, and one that is stuck is ended by a thread of its own.
Source: prctl(2).
"""

import ctypes
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress

_SET_PARENT_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of Linux."""


def end_without_parent(pipe: int, patience: float) -> None:
    """Have this process end at the latest ``patience`` seconds after ``pipe`` is at its end.

    Called in the main thread of a process that its first process has just forked.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            # Not one that kills: who is being served gets the usual time.
            wake, nothing = ctypes.c_ulong(signal.SIGCONT), ctypes.c_ulong(0)
            prctl = ctypes.CDLL(None).prctl
            prctl(_SET_PARENT_DEATH_SIGNAL, wake, nothing, nothing, nothing)
    # A thread that took a signal would not wake the loop, which is who has to obey.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=_watch, args=(pipe, patience), name="orphan", daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(pipe: int, patience: float) -> None:
    select.select([pipe], [], [])
    time.sleep(patience)
    os.kill(os.getpid(), signal.SIGKILL)
