"""A client, and no server: it takes one large body after the other. Arguments: port, Host, path.

It prints a line once the first body has begun to arrive.
"""

import socket
import sys

from bench.endpoint import LOOPBACK

_HEAD = "GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"
_OK = b"HTTP/1.1 200 "


def main() -> None:
    """Take bodies until it is ended; raises where one doesn't come."""
    port, host, path = sys.argv[1:]
    buffer = bytearray(512 * 1024)
    request = _HEAD.format(path=path, host=host).encode("ascii")
    is_first = True
    with socket.create_connection((LOOPBACK, int(port))) as wire:
        while True:
            wire.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := wire.recv(65536)):
                    raise ConnectionError("closed before a response")
                head += data
            fields, _, body = head.partition(b"\r\n\r\n")
            if not fields.startswith(_OK):
                raise ConnectionError(f"answered with {fields[:80]!r}")
            if is_first:
                print("it comes", flush=True)
            is_first = False
            (length,) = (
                int(line.partition(b":")[2])
                for line in fields.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            left = length - len(body)
            while left:
                if not (count := wire.recv_into(buffer, min(left, len(buffer)))):
                    raise ConnectionError(f"closed {left} bytes before the end")
                left -= count


if __name__ == "__main__":
    main()
