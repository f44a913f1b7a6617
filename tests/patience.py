"""How long tests wait: for what happens, never for a time that a busy machine may exceed."""

import os
from pathlib import Path

PATIENCE = 120.0
"""Seconds after which a test that hangs has failed; nothing that goes on takes as long."""


def soon(seconds: float) -> float:
    """Return the most that ``seconds`` on an idle machine may last on this one, just now.

    Longer in proportion where more processes want to run than there are processors.
    """
    # The average is of a minute; a burst shows in the processes that can run at this moment.
    running = int(Path("/proc/loadavg").read_text("ascii").split()[3].partition("/")[0])
    return seconds * max(1.0, max(os.getloadavg()[0], running) / (os.cpu_count() or 1))
