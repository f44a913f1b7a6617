"""``portal-proxy`` that notes what its event loop asks a disk for: ``watched.py ARGUMENT...``.

While the file ``SLOW_DISK`` is there, each use of a path and each lock by the main thread becomes a
line of ``SLOW_REPORT``, with who asked for it. ``slow_disk.c`` notes the syncs, also SQLite's.
"""

import json
import os
import sys
import threading
from types import FrameType

_SLOW = os.environ["SLOW_DISK"]
_report = os.open(os.environ["SLOW_REPORT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_main = threading.get_ident()
_WAITS = frozenset({
    "open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.link", "os.mkdir",
    "os.truncate", "fcntl.flock", "fcntl.lockf", "sqlite3.connect", "socket.getaddrinfo",
    "socket.gethostbyname", "tempfile.mkstemp", "time.sleep", "subprocess.Popen",
})  # fmt: skip
_look, _real = os.access, {name: getattr(os, name) for name in ("stat", "lstat")}


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _WAITS or threading.get_ident() != _main or not _look(_SLOW, os.F_OK):
        return
    frame: FrameType | None = sys._getframe(1)
    by: list[str] = []
    while frame is not None and len(by) < 8:
        by.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}")
        frame = frame.f_back
    line = {"what": event, "main": True, "of": repr(arguments)[:200], "by": by}
    os.write(_report, json.dumps(line).encode() + b"\n")


def _noted(name: str) -> object:
    def call(path: object, *arguments: object, **options: object) -> object:
        if not isinstance(path, int):
            _note("open", (name, path))
        return _real[name](path, *arguments, **options)

    return call


for _name in _real:
    setattr(os, _name, _noted(_name))
sys.addaudithook(_note)

from proxy.cli.root import main  # noqa: E402 - what it does is noted from the first moment

if __name__ == "__main__":
    main()
