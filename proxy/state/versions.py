"""One file of the state folder, as whoever keeps a list in it reads it and sees it change."""

import os
from pathlib import Path

from proxy.core.errors import Invalid, Problem
from proxy.state.files import OTHERS, SMALL, Unsafe, read_private

FileVersion = tuple[int, ...] | None
"""What changes with every change of a file's content, mode or owner; None where there is none."""


def read_file(path: Path, *, forbidden: int = OTHERS, limit: int = SMALL) -> bytes | None:
    """Return what is in a file that must be ours; None where it is missing.

    ``forbidden`` and ``limit`` are those of ``read_private``. Raises ``Invalid``.
    """
    try:
        return read_private(path, forbidden=forbidden, limit=limit)
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
