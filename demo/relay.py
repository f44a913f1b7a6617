"""A wire with an ear: passes bytes on between two proxies and writes down all that goes by.

``python3 relay.py PORT HOST:PORT`` listens on loopback and ends when its standard input does, so
it never outlives who started it. To stdout goes a line of JSON for each piece: which connection,
whether it is ``asked`` or answered, from which address the connection came, and the bytes in
base64; ``demo.wire`` reads them. Stands alone: the demo also runs it inside a container.
"""

import base64
import json
import socket
import sys
import threading

_BLOCK = 65536
_record_lock = threading.Lock()


def _write_down(connection: int, came_from: str, piece: bytes, *, asked: bool) -> None:
    line = {
        "connection": connection,
        "from": came_from,
        "asked": asked,
        "piece": base64.b64encode(piece).decode("ascii"),
    }
    with _record_lock:
        print(json.dumps(line), flush=True)


def _pass_on(
    source: socket.socket, target: socket.socket, connection: int, came_from: str, *, asked: bool
) -> None:
    try:
        while piece := source.recv(_BLOCK):
            _write_down(connection, came_from, piece, asked=asked)
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: so is the connection, for both.
        for end in (source, target):
            end.close()


def _serve(listener: socket.socket, target: tuple[str, int]) -> None:
    connection = 0
    while True:
        near, (came_from, _) = listener.accept()
        try:
            far = socket.create_connection(target, timeout=10)
        except OSError:
            near.close()
            continue
        far.settimeout(None)
        connection += 1
        for source, sink, asked in ((near, far, True), (far, near, False)):
            threading.Thread(
                target=_pass_on,
                args=(source, sink, connection, came_from),
                kwargs={"asked": asked},
                daemon=True,
            ).start()


def main(port: str, target: str) -> None:
    """Relay until standard input ends."""
    host, _, target_port = target.rpartition(":")
    listener = socket.create_server(("127.0.0.1", int(port)))
    threading.Thread(target=_serve, args=(listener, (host, int(target_port))), daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
