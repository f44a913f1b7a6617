"""Large buffers are kept for the next ones, where the allocator is glibc's."""

import platform
import subprocess
import sys

import pytest

_CHURN = """
import resource
from proxy.server.tuning import keep_buffers

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        pieces = [b"x" * (256 * 1024) for _ in range(8)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
by_default = faults()
print(keep_buffers())
faults()
print(faults() * 10 < by_default)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_buffers_are_kept_for_the_next_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHURN], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True"]
