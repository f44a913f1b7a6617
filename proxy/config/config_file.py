"""Reads the files that people write: whole, bounded, and only what is a file.

A named pipe in the config folder must not stop the proxy, nor a device fill its memory. A path in
such a file may begin with ``~``, as at a shell.
"""

import os
import stat
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from proxy.core.errors import Invalid, Problem
from proxy.core.text_files.schema import PathText
from proxy.core.text_files.text import MAX_BYTES, shown
from proxy.state.files import unreadable


def read_config_file(path: Path) -> bytes:
    """Return the file's bytes, at most one more than a parser takes; raises ``Invalid``.

    Symbolic links are followed: mounted configuration is often made of them.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits for whoever writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Invalid([Problem(str(path), "", "expected a file")])
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        problem = Problem(str(path), "", f"can't be read: {error.strerror}")
        raise Invalid([problem]) from None
    except OSError as error:
        raise unreadable(path, error) from None


def is_there(path: Path) -> bool:
    """Tell whether anything is there, be it a link to nowhere; raises ``Unreadable``."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unreadable(path, error) from None
    return True


def expand_home(path: str) -> str:
    """Return ``path`` with the home folder for a leading ``~`` or ``~user``; raises ``ValueError``.

    Else a folder of the name ``~`` would be made, and what is in the home folder not be found.
    """
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        who = path.partition("/")[0]
        raise ValueError(f"expected a path; {shown(who)} is nobody's home folder here") from None


HomePath = Annotated[PathText, AfterValidator(expand_home)]
"""A path of the file system in a file of the owner's."""


def plain(path: Path) -> Path:
    """Return ``config/../state`` as ``state``, where no symbolic link makes that another place."""
    short = os.path.normpath(path)
    return Path(short) if os.path.realpath(short) == os.path.realpath(path) else path
