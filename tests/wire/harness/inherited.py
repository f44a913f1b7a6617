"""Passes listening sockets to a proxy, as systemd does: ``inherited.py FD:NAME... -- COMMAND``."""

from __future__ import annotations

import os
import sys

_FIRST = 3


def main() -> None:
    """Put the descriptors where they are looked for, and become the command."""
    at = sys.argv.index("--")
    inherited = [word.split(":") for word in sys.argv[1:at]]
    for number, (descriptor, _) in enumerate(inherited):
        moved = os.dup2(int(descriptor), 100 + number)
        os.dup2(moved, _FIRST + number)
        os.close(moved)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(inherited))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for _, name in inherited)
    command = sys.argv[at + 1 :]
    os.execv(command[0], command)


main()
