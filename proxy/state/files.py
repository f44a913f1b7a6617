"""Files that must be whole, private and changed by one at a time: the one place that writes them.

A reader sees the old file or the new one, never a half: a new version is written beside it, synced
and renamed over it. A lock is a file of its own that is never deleted: were it, two processes
could each hold the lock on "the" file, one of them on a file that has no name any more.
"""

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from proxy.core.errors import Invalid, Problem
from proxy.state.system_errors import explained, naming

LOCK_WAIT = 10.0
"""Seconds that a change waits for another one. ``peers edit`` may hold a lock for hours."""

OTHERS = 0o077
"""The mode bits that a secret's file may not have: nobody else reads or writes it."""
SMALL = 1 << 20
"""Bytes that a file of ours has at most, unless its reader knows better."""

_LOCK_POLL = 0.01
_RANDOM_BYTES = 8
_LEFTOVER = re.compile(rf"\..+\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}\.new", re.DOTALL)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that somebody put in the file's place would wait for a writer for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Busy(Exception):
    """Somebody else has been changing the file for too long; nothing was changed here."""


class Unreadable(Invalid):
    """A file couldn't be read just now. That says nothing about what is in it, and may pass."""


class Unsafe(Exception):
    """A file that isn't ours alone, or isn't a file; the message says what to do about it."""


class FileVersion(NamedTuple):
    """What changes with every change of a file's content, mode or owner."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int
    """Nanoseconds, of the content and of the rest: nobody can set the second back."""


def make_private_folder(path: Path) -> None:
    """Make the folder for us alone (0700), and its parents; an existing one stays as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_atomically(
    path: Path, data: bytes, *, mode: int = 0o600, group: int | None = None
) -> None:
    """Make or replace the file; a link in its place is replaced, never followed. Raises OSError.

    At no moment is it open to more than ``mode`` says, nor to another group than ``group``.
    """
    with naming(path), _written_beside(path, data, mode, group) as new:
        new.replace(path)
        sync_folder(path.parent)


def create_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Make the file, whole from its first moment; raises FileExistsError where anything is there.

    A hard link and not a rename: of two that do this at once exactly one passes, and what
    is there is never replaced.
    """
    with naming(path), _written_beside(path, data, mode) as new:
        try:
            os.link(new, path, follow_symlinks=False)
        finally:
            new.unlink()
    with naming(path):
        sync_folder(path.parent)


def read_private(path: Path, *, forbidden: int = OTHERS, limit: int = SMALL) -> bytes:
    """Read a file that must be ours; ``forbidden`` are mode bits that it may not have.

    Everything is checked on the open file itself, so nobody can swap it after the check. Raises
    ``Unsafe``, and OSError where it can't be opened (FileNotFoundError where it is missing).
    """
    try:
        fd = os.open(path, _READ)
    except OSError:
        if path.is_symlink():
            raise Unsafe("is a symbolic link: put the file itself here") from None
        raise
    return _read(fd, lambda status: _why_not_private(status, forbidden), limit)


def read_file(path: Path, *, forbidden: int = OTHERS, limit: int = SMALL) -> bytes | None:
    """Return what is in a file that must be ours; None where it is missing.

    ``forbidden`` and ``limit`` are those of ``read_private``. Raises ``Invalid``.
    """
    try:
        return read_private(path, forbidden=forbidden, limit=limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None
    except Unsafe as error:
        raise Invalid([Problem(str(path), "", str(error))]) from None


def read_external(path: Path, *, limit: int = SMALL) -> bytes:
    """Read a secret that another program keeps for us, as certbot keeps the keys of certificates.

    It may be behind symbolic links and root's, who may let our group read it. Raises as
    ``read_private`` does.
    """
    return _read(os.open(path, _READ & ~os.O_NOFOLLOW), _why_not_external, limit)


def version_of(status: os.stat_result) -> FileVersion:
    """Return which version of a file has this status."""
    return FileVersion(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def file_version(path: Path, *, follow_links: bool = False) -> FileVersion | None:
    """Return which version of a file is there now, None where there is none.

    Raises ``Unreadable`` where nobody can tell: that is no missing file.
    """
    try:
        return version_of(path.stat(follow_symlinks=follow_links))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> Unreadable:
    """Return what is told of a file that can't be read just now."""
    return Unreadable([Problem(str(path), "", f"can't be read: {explained(error)}")])


def delete(path: Path) -> None:
    """Delete the file for good: it doesn't come back when the power fails. Raises OSError."""
    with naming(path):
        path.unlink()
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a new or a changed name last: it is the folder that it changed. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_leftover(name: str) -> bool:
    """Tell whether this is the name of a new version that was being written.

    Once its writer is gone, as where the writer held the lock that is ours now, a crash left it.
    """
    return _LEFTOVER.fullmatch(name) is not None


def sweep(folder: Path) -> list[Path]:
    """Delete the new versions in ``folder`` whose writers were killed; return which they were.

    Each may be the copy of a secret. One that is being written is left alone, whoever writes it:
    its writer holds a lock on it. Raises OSError; a missing folder has none.
    """
    names: list[str] = []
    with suppress(FileNotFoundError):
        names = os.listdir(folder)  # noqa: PTH208 - names are enough
    found = [folder / name for name in names if is_leftover(name)]
    return [path for path in found if _delete_abandoned(path)]


def _delete_abandoned(path: Path) -> bool:
    """Delete a new version whose writer is gone; tells whether it was one."""
    try:
        fd = os.open(path, _READ)
    except OSError:
        return False  # gone by now, or nothing that we wrote
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def check_folder(path: Path) -> None:
    """Refuse a folder in which others could put another file in the place of ours.

    With the sticky bit they can't rename or delete what is ours; what they put there
    themselves belongs to them, and ``read_private`` refuses that. Raises ``Unsafe`` and OSError.
    """
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise Unsafe("isn't a folder: move away what is in its place")
    if status.st_uid not in {0, os.geteuid()}:
        raise Unsafe(f"belongs to user {status.st_uid}, who could replace the key in it")
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise Unsafe("others can write to it and replace the key: chmod go-w it")


def check_private(path: Path, *, forbidden: int = OTHERS) -> None:
    """Check a file as ``read_private`` does, without opening it; raises ``Unsafe`` and OSError.

    For SQLite's files: closing any descriptor of one drops this process's locks on it (POSIX).
    """
    problem = _why_not_private(path.lstat(), forbidden)
    if problem:
        raise Unsafe(problem)


@contextmanager
def locked(path: Path, *, wait: float = LOCK_WAIT) -> Iterator[None]:
    """Hold the lock that belongs to ``path`` (a file beside it) against threads and processes.

    The kernel frees it when its holder dies, however it dies. Raises ``Busy`` after ``wait``
    seconds. Not to be taken twice by one holder: that waits for itself.
    """
    lock = path.with_name(path.name + ".lock")
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with naming(lock):
            _take(fd, path, time.monotonic() + wait)
        yield
    finally:
        os.close(fd)


def _take(fd: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(f"{path} is being changed by somebody else; try again later") from None
            time.sleep(_LOCK_POLL)
        else:
            return


def _read(fd: int, why_not: Callable[[os.stat_result], str | None], limit: int) -> bytes:
    try:
        if problem := why_not(os.fstat(fd)):
            raise Unsafe(problem)
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise Unsafe(f"is larger than {limit} bytes")
    return data


def _why_not_external(status: os.stat_result) -> str | None:
    return _why_not_private(status, 0o077 if status.st_uid else 0o037, {0, os.geteuid()})


def _why_not_private(
    status: os.stat_result, forbidden: int, owners: Collection[int] = ()
) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "isn't a regular file: move away what is in its place"
    us = os.geteuid()
    if status.st_uid not in (owners or (us,)):
        return f"belongs to user {status.st_uid}, and this runs as user {us}: run it as the owner"
    if status.st_mode & forbidden:
        mode = stat.S_IMODE(status.st_mode)
        verb = "read or change" if forbidden & 0o044 else "change"
        return f"others can {verb} it (mode {mode:04o}): chmod {mode & ~forbidden:04o} it"
    return None


@contextmanager
def _written_beside(path: Path, data: bytes, mode: int, group: int | None = None) -> Iterator[Path]:
    """Write ``data`` to a new file beside ``path``, for the block to give it that name.

    Where that fails, the new file is taken away again.
    """
    fd, new = _new_file(path, mode if group is None else mode & ~OTHERS)
    try:
        with os.fdopen(fd, "wb") as file:
            if group is not None:
                os.fchown(fd, -1, group)
            os.fchmod(fd, mode)  # whatever the umask took away
            file.write(data)
            file.flush()
            os.fsync(fd)
            yield new
    except BaseException:
        with suppress(OSError):  # what went wrong first is what its owner must know
            new.unlink()
        raise


def _new_file(path: Path, mode: int) -> tuple[int, Path]:
    """Make a file beside ``path`` that ``sweep`` leaves alone while it is open."""
    while True:
        new = path.with_name(f".{path.name}.{os.urandom(_RANDOM_BYTES).hex()}.new")
        fd = os.open(new, _NEW_FILE, mode)
        with suppress(OSError):  # some file systems have no locks; nothing is swept on those
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, new
        os.close(fd)  # swept before it was locked
