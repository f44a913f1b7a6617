"""``make bench-dear``: what the worst input of a kind costs, beside an ordinary one of its size.

CPU in this process, in milliseconds, the best of some turns: no sockets, so nothing but the code
that reads. A kind is a row of ``KINDS``: its name, and what makes a function that reads one input
of about ``size`` bytes. Tests hold the bounds, as counts of operations; this shows the times.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from proxy.core.binary_http import reader as binary_http
from proxy.core.binary_http import writer
from proxy.core.binary_http.message import RequestHead
from proxy.core.http1.reader import RequestReader
from proxy.core.sealing.aead import Aead, Cipher
from proxy.core.sealing.stream import ChunkOpener, ChunkSealer
from proxy.core.websocket.frames import FrameFilter

SIZE = 16 * 1024
GOAL = 2.0
"""Milliseconds that no input of ``SIZE`` bytes may cost above an ordinary one."""
_TURNS = 15

Work = Callable[[], object]


@dataclass(frozen=True)
class Kind:
    """One kind of input: an ordinary one, and those that somebody made dear."""

    name: str
    ordinary: Work
    dear: Sequence[tuple[str, Work]]


def measured(work: Work) -> float:
    """Return the milliseconds of CPU that ``work`` takes at best."""
    best = float("inf")
    for _ in range(_TURNS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best * 1000


def table(kinds: Iterable[Kind]) -> list[str]:
    """Return a line for each input: its time above the ordinary one's of its kind."""
    lines = []
    for kind in kinds:
        usual = measured(kind.ordinary)
        lines.append(f"{kind.name}: {usual:.2f} ms where it is ordinary")
        for name, work in kind.dear:
            more = measured(work) - usual
            lines.append(f"  {more:8.2f} ms more  {name}{'  TOO MUCH' if more > GOAL else ''}")
    return lines


def _filled(prefix: bytes, piece: bytes, size: int = SIZE) -> bytes:
    return prefix + piece * ((size - len(prefix)) // len(piece))


_POST = b"POST /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"


def _request(data: bytes, step: int = SIZE) -> Work:
    def read() -> None:
        reader = RequestReader()
        for place in range(0, len(data), step):
            reader.feed(data[place : place + step])

    return read


def _chunks(piece: bytes) -> tuple[str, Work]:
    return f"chunks {piece[:24]!r}", _request(_filled(_POST, piece))


_HTTP1 = Kind(
    "a request over HTTP/1.1",
    _request(_POST + b"3000\r\n" + b"x" * 12288 + b"\r\n0\r\n\r\n"),
    [
        _chunks(b"1\r\nx\r\n"),
        _chunks(b"01\r\nx\r\n"),
        _chunks(b"1;a\r\nx\r\n"),
        _chunks(b'1 ; a = "b" ;c\r\nx\r\n'),
        _chunks(b"1" + b";a" * 20 + b"\r\nx\r\n"),
        ("trailers", _request(_filled(_POST + b"0\r\n", b"X: y\r\n", 8000))),
        ("empty fields", _request(_filled(b"GET / HTTP/1.1\r\n", b"a:\r\n"))),
    ],
)
_PIECEMEAL = Kind(
    "the same by the byte, as one after the other is handed to the reader",
    _request(_POST + b"3000\r\n" + b"x" * 12288, step=1),
    [
        ("a first line", _request(_filled(b"GET /", b"a"), step=1)),
        ("a field", _request(_filled(b"GET / HTTP/1.1\r\nX: ", b"a"), step=1)),
        ("a trailer", _request(_filled(_POST + b"0\r\nX: ", b"a", 8000), step=1)),
    ],
)


class _Opener(ChunkOpener):
    def _begin(self, _header: bytes) -> Cipher:
        return _cipher()


def _cipher() -> Cipher:
    return Cipher(Aead.AES_128_GCM, b"k" * 16, b"n" * 12)


def _opened(plaintext: bytes, largest: int) -> Work:
    sealer = ChunkSealer(b"header", _cipher(), largest)
    data = sealer.header + sealer.seal(plaintext)
    return lambda: _Opener(len(sealer.header), 65536).feed(data)


_HEAD = writer.request_head(RequestHead(b"POST", b"https", b"a.example", b"/x", ()))


def _message(data: bytes) -> Work:
    return lambda: binary_http.RequestReader().feed(data)


_ENVELOPE = Kind(
    "an envelope",
    _opened(b"x" * SIZE, SIZE),
    [("chunks of one byte", _opened(b"x" * (SIZE // 18), 1))],
)
_BINARY = Kind(
    "a message in an envelope",
    _message(_HEAD + writer.content(b"x" * SIZE)),
    [
        ("pieces of one byte", _message(_filled(_HEAD, b"\1x"))),
        ("pieces of one byte, their length in two", _message(_filled(_HEAD, b"\x40\1x"))),
        ("pieces of one and of two bytes", _message(_filled(_HEAD, b"\1x\2xx"))),
    ],
)


def _frames(frame: bytes) -> Work:
    data = _filled(b"", frame)
    return lambda: FrameFilter(sends_masked=True, deflate=False, limit=1 << 26).feed(data)


_SOCKET = Kind(
    "frames of a WebSocket",
    _frames(b"\x82\xfe\x10\x00mask" + b"x" * 4096),
    [
        ("empty messages", _frames(b"\x82\x80mask")),
        ("pings", _frames(b"\x89\x80mask")),
        ("a byte each", _frames(b"\x82\x81maskx")),
    ],
)

KINDS = [_HTTP1, _PIECEMEAL, _ENVELOPE, _BINARY, _SOCKET]


def main() -> int:
    """Print what each costs; return 1 where one costs more than the goal."""
    lines = table(KINDS)
    print("\n".join(lines))
    return int(any(line.endswith("TOO MUCH") for line in lines))


if __name__ == "__main__":
    sys.exit(main())
