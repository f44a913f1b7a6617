"""Pairing that is killed at each of its lines: never two devices by one code, never half a file."""

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.errors import Refusal
from proxy.core.terminals.terminals import LIFETIME
from proxy.state.terminals import PairingStore, TerminalStore
from tests.patience import PATIENCE
from tests.terminal_lists import BOTH, NOW

_KILLED = """
# For each N: copies a folder, redeems the code in a process of its own, and kills that at line N.
import os, shutil, signal, sys
from pathlib import Path
from proxy.state import files as storage
from proxy.state.terminals import pairing
from proxy.state.terminals import store
from proxy.state.terminals import PairingStore, TerminalStore

start, copies, code, now = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
watched = {module.__file__ for module in (storage, pairing, store)}

def live(folder, last):
    count = 0
    def step(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename not in watched:
            return None
        count += event == "line"
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return step
    terminals = TerminalStore(folder / "terminals.yaml")
    pairing = PairingStore(folder / "pairing.yaml", terminals)
    sys.settrace(step)
    pairing.redeem(code, "203.0.113.7", "Phone", now)
    sys.settrace(None)
    os._exit(0)

last, status = 0, 1
while status != 0:
    last += 1
    copy = copies / f"{last:04}"
    shutil.copytree(start, copy)
    child = os.fork()
    if child == 0:
        live(copy, last)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
"""


@pytest.mark.more
def test_a_pairing_that_is_killed_anywhere_lets_at_most_one_device_in(tmp_path: Path) -> None:
    start, copies = tmp_path / "start", tmp_path / "copies"
    start.mkdir()
    terminals = TerminalStore(start / "terminals.yaml")
    terminals.change(lambda _: BOTH)
    code = PairingStore(start / "pairing.yaml", terminals).new_code(NOW).typed
    words = [sys.executable, "-c", _KILLED, str(start), str(copies), code, str(NOW)]
    subprocess.run(words, check=True, timeout=5 * PATIENCE)  # it is killed hundreds of times

    ends: set[tuple[int, bool]] = set()
    for copy in sorted(copies.iterdir()):
        terminals = TerminalStore(copy / "terminals.yaml")
        pairing = PairingStore(copy / "pairing.yaml", terminals)
        made = len(terminals.load().terminals) - len(BOTH.terminals)
        assert terminals.load().terminals[:2] == BOTH.terminals
        try:
            pairing.redeem(code, "203.0.113.8", "Again", NOW + 1)
        except Refusal:
            again = False
        else:
            again = True
        ends.add((made, again))
        assert all(each.is_valid(NOW + LIFETIME // 2) for each in terminals.load().terminals)
    # Killed before it counts, while the code is used up, or when all is done: nothing else.
    assert ends == {(0, True), (0, False), (1, False)}
