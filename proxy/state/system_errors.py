"""What the system had against a file, as its owner is told it: which file, why, and what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPACE = "make room on its disk, then try again"
_OWNER = "run this as the user whom it belongs to, or give that user the right"
_NEXT = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: "make room, or have its user's quota raised",
    errno.EFBIG: "raise the limit for the size of a file (ulimit -f)",
    errno.EROFS: "its file system is mounted read-only: mount it to be written, or move the folder",
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EIO: "its disk has a fault, of which the system's own log tells",
    errno.EMFILE: "raise the limit of open files (ulimit -n, LimitNOFILE)",
    errno.ENFILE: "the whole machine has too many files open",
    errno.EISDIR: "a folder is in the place of the file: move it away",
    errno.ENOTDIR: "a file is in the place of a folder: move it away",
    errno.ELOOP: "a symbolic link is in its place: put the file itself there",
}


def explained(error: OSError) -> str:
    """Return why something failed, and what to do about it where that is known."""
    reason = error.strerror or str(error)
    then = _NEXT.get(error.errno) if error.errno is not None else None
    return f"{reason}: {then}" if then else reason


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an ``OSError`` name this file: a failed write names none, and others those of ours."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise
