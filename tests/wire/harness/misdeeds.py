"""An app that does wrong what it is asked to do wrong, as a process that can be stopped and killed.

``misdeeds.py PORT``. The first segment of a target says what; the request is always read first.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.wire.harness.raw import read_message, response
from tests.wire.harness.recorder import Accepted

if TYPE_CHECKING:
    from collections.abc import Callable

PROMISED = 1_000_000
"""The length of a response that breaks off, or stops moving, behind its first ``PART``."""
PART = b"part " * 2000
_RESET = struct.pack("ii", 1, 0)
_CHUNKED = ("Transfer-Encoding", "chunked")


def _length(wire: Accepted, number: int) -> None:
    wire.send(response(200, ("Content-Length", str(number)), body=None))


def _part(wire: Accepted) -> None:
    _length(wire, PROMISED)
    wire.send(PART)


def _part_in_chunks(wire: Accepted) -> None:
    wire.send(response(200, _CHUNKED, body=None) + b"%x\r\n%b\r\n" % (len(PART), PART))


def _part_until_the_end(wire: Accepted) -> None:
    wire.send(response(200, body=None) + PART)


def _wait(_: Accepted) -> None:
    _now()
    time.sleep(3600)


def _now() -> None:
    """Tell the test that this is the moment at which to do something to this process."""
    print("now", flush=True)


def _reset(wire: Accepted) -> None:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _slow(wire: Accepted) -> None:
    """Send ten bytes, twenty in a second."""
    _length(wire, 10)
    _now()
    for byte in b"slow bytes":
        time.sleep(0.05)
        wire.send(bytes([byte]))


def _endless(wire: Accepted) -> None:
    """Send as many bytes in a second, and go on for a day."""
    _length(wire, 20 * 86_400)
    _now()
    while True:
        time.sleep(0.05)
        wire.send(b"x")


def _short(wire: Accepted) -> None:
    _length(wire, 100)
    wire.send(b"x" * 99)


def _long(wire: Accepted) -> None:
    _length(wire, 10)
    wire.send(b"x" * 11)


def _garbage(wire: Accepted) -> None:
    wire.send(b"\x16\x03\x01 what is this? \r\n\r\n")


def _bad_chunk(wire: Accepted) -> None:
    _part_in_chunks(wire)
    wire.send(b"zz\r\nmore\r\n")


def _nothing(_: Accepted) -> None:
    """Close without a response."""


_DEEDS: dict[bytes, tuple[Callable[[Accepted], None], ...]] = {
    b"silence": (_wait,),
    b"stall": (_part, _wait),
    b"stall-chunks": (_part_in_chunks, _wait),
    b"close": (_nothing,),
    b"close-mid": (_part,),
    b"close-chunks": (_part_in_chunks,),
    b"reset": (_reset,),
    b"reset-mid": (_part, _reset),
    b"reset-open": (_part_until_the_end, _reset),
    b"slow": (_slow,),
    b"endless": (_endless,),
    b"short": (_short,),
    b"long": (_long, _wait),
    b"garbage": (_garbage,),
    b"bad-chunk": (_bad_chunk, _wait),
}
"""What is done to a request whose connection is closed behind it; any other gets ``whole``."""


def _serve(accepted: socket.socket) -> None:
    wire = Accepted(accepted, lambda _: None)
    with accepted, suppress(OSError, EOFError):
        while True:
            asked = read_message(wire)
            deeds = _DEEDS.get(asked.target.split(b"/")[1].partition(b"?")[0])
            if deeds is None:
                wire.send(response(200, body=b"whole"))
                continue
            for deed in deeds:
                deed(wire)
            return


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=_serve, args=(accepted,), daemon=True).start()


if __name__ == "__main__":
    main()
