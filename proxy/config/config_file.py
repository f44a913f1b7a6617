"""Reads the files that people write: whole, bounded, and only what is a file.

A named pipe in the config folder must not stop the proxy, nor a device fill its memory.
"""

import os
import stat
from pathlib import Path

from proxy.core.errors import Invalid, Problem
from proxy.core.text_files.text import MAX_BYTES
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
