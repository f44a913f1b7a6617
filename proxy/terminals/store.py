"""terminals.yaml on disk, shared by commands and running proxies: no change is lost, none is half.

Where the file is missing there are no terminals: it is made with the first one, and who deletes it
removes them all. One that is broken, or not ours alone, is a problem, and never overwritten.
"""

import os
from collections.abc import Callable
from pathlib import Path

from proxy.core.errors import Invalid, Problem
from proxy.core.terminals.terminals import TerminalList
from proxy.storage import LOCK_WAIT, Unsafe, locked, read_private, write_atomically
from proxy.terminals.form import parse_terminals, serialise_terminals

FileVersion = tuple[int, ...] | None
"""What changes with every change of a file's content, mode or owner; None where there is none."""


class TerminalStore:
    """The list of terminals at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> TerminalList:
        """Read the list; raises ``Invalid``, for an unreadable file too."""
        data = read_file(self.path)
        return TerminalList() if data is None else parse_terminals(str(self.path), data)

    def change(
        self, edit: Callable[[TerminalList], TerminalList], *, wait: float = LOCK_WAIT
    ) -> TerminalList:
        """Replace the list by what ``edit`` makes of it, and return that.

        What ``edit`` raises passes through, and then nothing is changed. Raises ``Invalid`` where
        the file is broken or the new list couldn't be read back, ``Busy`` after ``wait`` seconds,
        and OSError.
        """
        with locked(self.path, wait=wait):
            terminals = self.load()
            edited = edit(terminals)
            if edited != terminals:
                new = serialise_terminals(edited)
                parse_terminals(str(self.path), new)
                write_atomically(self.path, new)
            return edited


def read_file(path: Path) -> bytes | None:
    """Return what is in a file that must be ours alone; None where it is missing.

    Raises ``Invalid``.
    """
    try:
        return read_private(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        what = f"can't be read: {error.strerror}"
    except Unsafe as error:
        what = str(error)
    raise Invalid([Problem(str(path), "", what)])


def file_version(path: Path) -> FileVersion:
    """Return which version of a file is there now; raises nothing."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
