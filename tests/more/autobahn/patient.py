"""``wstest`` (Python 2.7) that waits longer for a slow machine before it takes a case for lost."""

import sys

# First, since it chooses how to wait for the others.
from autobahntestsuite import wstest  # isort: skip
from autobahntestsuite import fuzzing

_TIMES = 10
_kill = fuzzing.FuzzingProtocol.killAfter
fuzzing.FuzzingProtocol.killAfter = lambda self, delay: _kill(self, _TIMES * delay)

if __name__ == "__main__":
    sys.exit(wstest.run())
