"""What every measuring command does around its work: descriptors, an end in order, words."""

import resource
import signal
import sys
from collections.abc import Callable
from types import FrameType

from bench.crew import NotStarted


def guarded(work: Callable[[], int]) -> int:
    """Do ``work`` with as many descriptors as there may be; end in order where it is ended."""
    signal.signal(signal.SIGTERM, _stop)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        return work()
    except NotStarted as error:
        print(f"The benchmark has no app to stand before: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        tell("Stopped before the end; nothing was written.")
    return 1


def tell(text: str) -> None:
    """Say how far it is."""
    print(text, flush=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Take SIGTERM like Ctrl-C: what was started is ended."""
    raise KeyboardInterrupt
