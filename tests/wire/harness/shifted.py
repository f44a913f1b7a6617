"""``portal-proxy`` for a machine whose clock is wrong: ``shifted.py SECONDS ARGUMENT...``.

In place of the seconds a file can be named that holds them, which is read at every look at the
clock: so it can be set while the proxy runs.
"""

import sys
import time
from pathlib import Path

_shift = sys.argv.pop(1)
_right = time.time


def _shifted() -> float:
    seconds = Path(_shift).read_text("ascii") if _shift.startswith("/") else _shift
    return _right() + float(seconds)


time.time = _shifted

from proxy.cli.root import main  # noqa: E402 - the clock is wrong before anything reads it

if __name__ == "__main__":
    main()
