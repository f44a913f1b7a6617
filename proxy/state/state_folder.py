"""Whether the state folder can be written to: what must be remembered can't be, where it can't.

A full disk, or one that is mounted read-only, has signed and sealed calls refused, no device
paired and no sealing key made. That is told before anybody asks for one of these.
"""

import logging
import os
from pathlib import Path

from proxy.core.errors import Problem
from proxy.state.system_errors import explained

LEAST_SPACE = 64 * 1024
"""Bytes: less than this is a full disk to SQLite, which writes whole pages and a log of them."""

_REFUSED = "calls of peers are refused, no device is paired and no sealing key made"
_log = logging.getLogger("proxy.state")


def problem_of(folder: Path) -> Problem | None:
    """Return why nothing can be written into the folder; writes nothing, and raises nothing."""
    try:
        status = os.statvfs(folder)
    except FileNotFoundError:
        return Problem(str(folder), "", "is missing: `portal-proxy init` makes it")
    except OSError as error:
        return Problem(str(folder), "", f"can't be used: {explained(error)}")
    # Of some file systems nobody can tell how large they are; root may use what others may not.
    blocks = status.f_bfree if os.geteuid() == 0 else status.f_bavail
    is_full = status.f_blocks > 0 and blocks * status.f_frsize < LEAST_SPACE
    if not folder.is_dir():
        what = "isn't a folder: move away what is in its place"
    elif status.f_flag & os.ST_RDONLY:
        what = f"is read-only, so {_REFUSED}: mount its file system to be written"
    elif not os.access(folder, os.W_OK | os.X_OK):
        what = f"can't be written to by user {os.geteuid()}, so {_REFUSED}: let it belong to them"
    elif is_full or (status.f_files > 0 and status.f_ffree == 0):
        kind = "no room" if is_full else "no room for another file"
        what = f"has {kind} left on its disk, so {_REFUSED}: make some"
    else:
        return None
    return Problem(str(folder), "", what)


class StateFolder:
    """A running proxy's view of the folder."""

    def __init__(self, path: Path) -> None:
        self.problems: tuple[Problem, ...] = ()
        """What was wrong with it at the last look."""
        self._path = path

    def follow(self) -> None:
        """Look; may wait for the disk. What is new is logged."""
        problem = problem_of(self._path)
        found = (problem,) if problem is not None else ()
        if problem is not None and found != self.problems:
            _log.error("%s", problem)
        elif self.problems and problem is None:
            _log.warning("%s can be written to again", self._path)
        self.problems = found
