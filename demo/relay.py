"""A wire with an ear: passes bytes on between two proxies and writes one direction to stdout.

``python3 relay.py PORT HOST:PORT`` listens on loopback and ends when its standard input does, so
it never outlives who started it. Stands alone: the demo also runs it inside a container.
"""

import socket
import sys
import threading

_BLOCK = 65536


def _pass_on(source: socket.socket, target: socket.socket, *, overheard: bool) -> None:
    try:
        while piece := source.recv(_BLOCK):
            if overheard:
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: so is the connection, for both.
        for end in (source, target):
            end.close()


def _serve(listener: socket.socket, target: tuple[str, int]) -> None:
    while True:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(target, timeout=10)
        except OSError:
            near.close()
            continue
        far.settimeout(None)
        for source, sink, overheard in ((near, far, True), (far, near, False)):
            threading.Thread(
                target=_pass_on, args=(source, sink), kwargs={"overheard": overheard}, daemon=True
            ).start()


def main(port: str, target: str) -> None:
    """Relay until standard input ends."""
    host, _, target_port = target.rpartition(":")
    listener = socket.create_server(("127.0.0.1", int(port)))
    threading.Thread(target=_serve, args=(listener, (host, int(target_port))), daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
