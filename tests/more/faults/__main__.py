"""Makes each fault as often as the table says: ``python -m tests.more.faults [--write] [WORD...]``.

With words, only the faults whose names hold one of them. Status 1 where something was otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time

from .catalogue import FAULTS
from .table import result, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.more.faults")
    parser.add_argument("--write", action="store_true", help="put what was seen into the document")
    parser.add_argument("--quick", action="store_true", help="as few rounds as the tests have")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    wrong = 0
    results = {}
    for fault in FAULTS:
        if options.words and not any(word in fault.name for word in options.words):
            continue
        if fault.missing:
            print(f"{fault.name}: skipped, without {fault.missing}", flush=True)
            continue
        start = time.monotonic()
        seen = fault.see(fault.in_tests if options.quick else fault.rounds)
        results[fault.name] = result(fault, seen)
        wrong += bool(seen.otherwise)
        print(f"{fault.name}:{results[fault.name]} {time.monotonic() - start:.0f} s", flush=True)
        if options.write:
            write(results)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
