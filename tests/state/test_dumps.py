"""A process that has read a key leaves no core, and shows its memory to nobody but root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.state.identity_key import create_identity

_ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forbid it")

_READS = """
import ctypes, json, resource, sys
from pathlib import Path
from proxy.state.identity_key import create_identity, load_identity
from proxy.core.errors import Invalid

getattr(sys.modules["__main__"], sys.argv[1])(Path(sys.argv[2])) if sys.argv[1] != "nothing" else 0
print(json.dumps([ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE)]))
"""


def _python(script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("how", ["create_identity", "load_identity"])
def test_who_makes_or_reads_the_key_can_be_dumped_no_more(tmp_path: Path, how: str) -> None:
    path = tmp_path / "state" / "key.pem"
    if how == "load_identity":
        # In a process of its own: this one is to stay as it is.
        _python(_READS, "create_identity", str(path))
    assert json.loads(_python(_READS, how, str(path))) == [0, [0, 0]]


def test_who_reads_none_is_as_before(tmp_path: Path) -> None:
    dumpable, _ = json.loads(_python(_READS, "nothing", str(tmp_path)))
    assert dumpable == 1


_LOOKS = """
import ctypes, json, os, signal, sys, time
from proxy.state.dumps import forbid_dumps

NOBODY, SET_DUMPABLE, ATTACH = 65534, 4, 16
prctl, ptrace = ctypes.CDLL(None).prctl, ctypes.CDLL(None).ptrace

def sleeper(is_guarded):
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        prctl(SET_DUMPABLE, 1, 0, 0, 0)  # as who was never root
        if is_guarded:
            forbid_dumps()
            worker = os.fork()  # what is forked has the same
            if worker:
                os.write(told, b"%d" % worker)
                os.waitpid(worker, 0)
                os._exit(0)
        else:
            os.write(told, b"%d" % os.getpid())
        time.sleep(60)
        os._exit(0)
    return child, int(os.read(ready, 20))

def can_read(process, name):
    try:
        with open(f"/proc/{process}/{name}", "rb") as file:
            return name == "mem" or bool(file.read())
    except OSError:
        return False

def look(process):
    results, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        seen = [name for name in ("mem", "environ", "maps", "fd/0") if can_read(process, name)]
        if ptrace(ATTACH, process, None, None) == 0:
            seen.append("ptrace")
        os.write(told, json.dumps(seen).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads(os.read(results, 1000))

found = []
for is_guarded in (True, False):
    child, process = sleeper(is_guarded)
    found.append(look(process))
    for each in {process, child}:
        os.kill(each, signal.SIGKILL)
    os.waitpid(child, 0)
print(json.dumps(found))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become two others")
def test_another_program_of_the_same_user_reads_nothing_of_it() -> None:
    guarded, bare = json.loads(_python(_LOOKS))
    assert guarded == []
    assert {"mem", "environ", "maps"} <= set(bare)


def test_where_it_cannot_be_forbidden_the_key_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("resource.setrlimit", refuse)
    create_identity(tmp_path / "state" / "key.pem")
    assert "dump this process's memory: [Errno 1] Operation not permitted" in caplog.text
