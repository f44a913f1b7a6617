"""Whether the state folder can be written to: what must be remembered can't be, where it can't.

A full disk, or one that is mounted read-only, has signed and sealed calls refused, no device
paired and no sealing key made. That is told before anybody asks for one of these. So is a lock
that nobody can take: a command that was run as another user may have left one.
"""

import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from proxy.core.errors import Problem
from proxy.core.http.origin import is_dns_label
from proxy.state.layout import State
from proxy.state.schema import version_problems
from proxy.state.system_errors import explained

LEAST_SPACE = 64 * 1024
"""Bytes: less than this is a full disk to SQLite, which writes whole pages and a log of them."""

_REFUSED = "calls of peers are refused, no device is paired and no sealing key made"
_NO_SEALING_KEY = "no sealing key is made, and sealed calls are refused once the last one is over"
_NONE_NEW = "no app gets a token that has none, or another one"
_NOTHING_HELD = "bodies above 512 KiB that must be held are refused (503 storage_full)"
_LOCK = ".lock"
_log = logging.getLogger("proxy.state")


def problems_of(folder: Path) -> tuple[Problem, ...]:
    """Return why something in the state folder can't be changed; changes and raises nothing."""
    problem = problem_of(folder)
    if problem is not None:
        return (problem,)
    state = State(folder)
    # Each may be a file system of its own. One that is missing is made when it is needed.
    parts = ((state.sealing, _NO_SEALING_KEY), (state.tokens, _NONE_NEW))
    found = (problem_of(part, refused) for part, refused in parts if part.is_dir())
    return (*(each for each in found if each is not None), *_about_locks(state))


def problem_of(folder: Path, refused: str = _REFUSED) -> Problem | None:
    """Return why nothing can be written into the folder; writes nothing, and raises nothing.

    ``refused`` is what that means for the owner.
    """
    try:
        status = os.statvfs(folder)
    except FileNotFoundError:
        return Problem(str(folder), "", "is missing: put it back, from a backup or with its disk")
    except OSError as error:
        return Problem(str(folder), "", f"can't be used: {explained(error)}")
    # Of some file systems nobody can tell how large they are; root may use what others may not.
    blocks = status.f_bfree if os.geteuid() == 0 else status.f_bavail
    is_full = status.f_blocks > 0 and blocks * status.f_frsize < LEAST_SPACE
    if not folder.is_dir():
        what = "isn't a folder: move away what is in its place"
    elif status.f_flag & os.ST_RDONLY:
        what = f"is read-only, so {refused}: mount its file system to be written"
    elif not os.access(folder, os.W_OK | os.X_OK):
        what = f"can't be written to by user {os.geteuid()}, so {refused}: let it belong to them"
    elif is_full or (status.f_files > 0 and status.f_ffree == 0):
        kind = "no room" if is_full else "no room for another file"
        what = f"has {kind} left on its disk, so {refused}: make some"
    else:
        return None
    return Problem(str(folder), "", what)


def _about_locks(state: State) -> Iterator[Problem]:
    """Tell of locks that can't be taken: what they are for can't be changed."""
    changed = [state.contacts, state.terminals, state.pairing, state.replays, state.sealing]
    with suppress(OSError):  # of a folder that can't be listed others tell
        names = os.listdir(state.tokens)  # noqa: PTH208 - names are enough
        apps = sorted(name.removesuffix(_LOCK) for name in names if name.endswith(_LOCK))
        changed += [state.tokens / app for app in apps if is_dns_label(app)]
    for path in changed:
        lock = path.with_name(path.name + _LOCK)
        try:
            is_file = stat.S_ISREG(lock.lstat().st_mode)
        except OSError:
            continue  # it is made when it is needed
        so = f"so {path.name} can't be changed"
        if not is_file:
            yield Problem(str(lock), "", f"isn't a regular file, {so}: move it away")
        elif not os.access(lock, os.R_OK | os.W_OK):
            what = f"can't be used by user {os.geteuid()}, {so}: let it belong to them"
            yield Problem(str(lock), "", what)


def temporary_problems() -> tuple[Problem, ...]:
    """Return why no body can be held in the temporary folder; raises nothing."""
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as error:
        what = f"can't be used, so {_NOTHING_HELD}: {explained(error)}"
        return (Problem("the temporary folder (TMPDIR)", "", what),)
    problem = problem_of(folder, _NOTHING_HELD)
    return (problem,) if problem is not None else ()


class StateFolder:
    """A running proxy's view of the state folder, and of the temporary one."""

    def __init__(self, path: Path) -> None:
        self.problems: tuple[Problem, ...] = ()
        """What was wrong with them at the last look."""
        self._path = path

    def follow(self) -> None:
        """Look; may wait for the disk. What is new is logged."""
        problems = (*version_problems(self._path), *problems_of(self._path))
        found = (*problems, *temporary_problems())
        for problem in found:
            if problem not in self.problems:
                _log.error("%s", problem)
        still = {problem.file for problem in found}
        for file in dict.fromkeys(each.file for each in self.problems if each.file not in still):
            _log.warning("%s can be written to again", file)
        self.problems = found
