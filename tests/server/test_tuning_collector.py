"""Garbage that refers to itself is looked for seldom, and still goes."""

import subprocess
import sys

_LOAD = """
import gc
from weakref import ref
from proxy.server.tuning import IN_FLIGHT, collect_rarely

class Ring:
    def __init__(self):
        self.itself = self

collect_rarely()
looks = []
gc.callbacks.append(lambda phase, _: looks.append(phase))
in_flight = [[] for _ in range(IN_FLIGHT // 2)]
print(len(looks))
lost = ref(Ring())
rings = [Ring() for _ in range(2 * IN_FLIGHT)]
print(lost() is None)
"""


def test_what_is_in_flight_is_left_alone_and_what_is_lost_goes() -> None:
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]
