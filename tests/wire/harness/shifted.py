"""``portal-proxy`` for a machine whose clock is wrong: ``shifted.py SECONDS ARGUMENT...``."""

import sys
import time

_shift = int(sys.argv.pop(1))
_right = time.time
time.time = lambda: _right() + _shift

from proxy.cli import main  # noqa: E402 - the clock is wrong before anything reads it

if __name__ == "__main__":
    main()
