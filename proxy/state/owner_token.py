"""What the owner's commands show at the owner's listener, to be told who the contacts are.

Any program of this machine may reach that listener. Who can read this file could read the contact
list as well. It is made when the proxy starts, 0600, and no backup needs it.
"""

import re
import secrets
from contextlib import suppress
from pathlib import Path

from proxy.core.errors import Invalid, Problem
from proxy.state.files import create_atomically, read_file

_BYTES = 32
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}")


def make_owner_token(path: Path) -> bytes:
    """Return the token, made where it is missing; raises ``Invalid`` and OSError."""
    found = read_owner_token(path)
    if found is not None:
        return found
    with suppress(FileExistsError):
        create_atomically(path, secrets.token_urlsafe(_BYTES).encode("ascii"))
    found = read_owner_token(path)
    if found is None:
        raise Invalid([Problem(str(path), "", "is gone again")])
    return found


def read_owner_token(path: Path) -> bytes | None:
    """Return the token; None where no proxy has made one. Raises ``Invalid``."""
    data = read_file(path)
    if data is None:
        return None
    if _TOKEN.fullmatch(data.strip()) is None:
        what = "isn't a token: delete it, and the next start of the proxy makes another one"
        raise Invalid([Problem(str(path), "", what)])
    return data.strip()
