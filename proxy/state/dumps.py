"""No copy of this process's memory for others: it holds the Portal's keys.

Without this a crash writes them into a file (or hands them to whatever collects crashes), and every
program of the same user can read them with ``ptrace`` or ``/proc/PID/mem``. What is forked from
here has the same.
Source: core(5), prctl(2), ptrace(2).
"""

import ctypes
import logging
import os
import resource
import sys

_SET_DUMPABLE = 4
"""``PR_SET_DUMPABLE`` of Linux; it also counts for ``ptrace`` and ``/proc``."""
_log = logging.getLogger("proxy")


def forbid_dumps() -> None:
    """Let nobody dump or trace this process but root; call it before a key is read.

    A core's size alone isn't enough: Linux hands cores to a program in spite of it. Where a system
    refuses, or has no such thing, the proxy runs all the same.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux":
            _set_undumpable()
    except (OSError, ValueError) as error:
        _log.warning("others may be able to dump this process's memory: %s", error)


def _set_undumpable() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = ctypes.c_ulong(0)
    if libc.prctl(_SET_DUMPABLE, nothing, nothing, nothing, nothing) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
