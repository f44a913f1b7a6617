"""A client, and no server: it takes one large body after the other. Arguments: port, Host, path."""

import socket
import sys

_HEAD = "GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"


def main() -> None:
    """Take bodies until it is ended, or the connection is."""
    port, host, path = sys.argv[1:]
    buffer = bytearray(512 * 1024)
    request = _HEAD.format(path=path, host=host).encode("ascii")
    with socket.create_connection(("127.0.0.1", int(port))) as wire:
        while True:
            wire.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := wire.recv(65536)):
                    return
                head += data
            fields, _, body = head.partition(b"\r\n\r\n")
            (length,) = (
                int(line.partition(b":")[2])
                for line in fields.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            left = length - len(body)
            while left:
                if not (count := wire.recv_into(buffer, min(left, len(buffer)))):
                    return
                left -= count


if __name__ == "__main__":
    main()
