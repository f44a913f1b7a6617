"""Conversations with an app that echoes: what a client sends, and the close code it ends with.

The sections are those of Autobahn's fuzzing client. A case is a row of steps, each of them bytes to
send and the number of frames to wait for before the next; the last one ends it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.core.websocket.framing import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
)


@dataclass(frozen=True)
class Step:
    """Pieces to send, each in a packet of its own where the sockets let us."""

    pieces: Sequence[bytes]
    responses: int = 0


@dataclass(frozen=True)
class Case:
    steps: Sequence[Step]
    code: int | None
    """What the last frame, a Close, bears; None bears nothing."""
    deflate: bool = False


def said(*frames: Frame) -> bytes:
    """Return frames as a client sends them."""
    return b"".join(frame.raw(MASK) for frame in frames)


def _step(*frames: Frame, responses: int = 0, chop: int = 0) -> Step:
    data = said(*frames)
    size = chop or max(len(data), 1)
    return Step([data[at : at + size] for at in range(0, len(data), size)], responses)


_BYE = Step([said(close(1000))])
_HELLO = Frame(TEXT, b"Hello, world!")


def _echoed(*frames: Frame, responses: int = 1, chop: int = 0) -> Case:
    return Case([_step(*frames, responses=responses, chop=chop), _BYE], 1000)


def _refused(*frames: Frame, after: int = 0, code: int = 1002, chop: int = 0) -> Case:
    """Return a case of which the first ``after`` frames are answered and the next one is bad."""
    good, bad = frames[:after], frames[after:]
    steps = [_step(*good, responses=after)] if after else []
    return Case([*steps, _step(*bad, chop=chop)], code)


def _in_fragments(opcode: int, *pieces: bytes, rsv: int = 0) -> list[Frame]:
    last = len(pieces) - 1
    return [
        Frame(CONTINUATION if at else opcode, piece, at == last, 0 if at else rsv)
        for at, piece in enumerate(pieces)
    ]


def _framing() -> dict[str, Case]:
    sizes = (0, 125, 126, 127, 128, 65535, 65536)
    made = {}
    for name, opcode in (("text", TEXT), ("binary", BINARY)):
        for size in sizes:
            made[f"1 {name} {size}"] = _echoed(Frame(opcode, b"*" * size))
        made[f"1 {name} chopped"] = _echoed(Frame(opcode, b"*" * 65536), chop=997)
    return made


def _pings() -> dict[str, Case]:
    return {
        "2 ping": _echoed(Frame(PING)),
        "2 ping with text": _echoed(Frame(PING, b"Hello, world!")),
        "2 ping with bytes": _echoed(Frame(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
        "2 ping of 125": _echoed(Frame(PING, b"\xfe" * 125)),
        "2 ping of 126": _refused(Frame(PING, b"\xfe" * 126)),
        "2 ping chopped": _echoed(Frame(PING, b"\xfe" * 125), chop=1),
        "2 pong unasked": _echoed(Frame(PONG), _HELLO),
        "2 pong unasked with text": _echoed(Frame(PONG, b"unasked"), _HELLO),
        "2 pong, then ping": _echoed(Frame(PONG, b"unasked"), Frame(PING, b"ping")),
        "2 ten pings": _echoed(*(Frame(PING, b"%d" % n) for n in range(10)), responses=10),
        "2 ten pings chopped": _echoed(
            *(Frame(PING, b"%d" % n) for n in range(10)), responses=10, chop=1
        ),
    }


def _reserved() -> dict[str, Case]:
    made = {
        f"3 rsv {rsv}": _refused(_HELLO, Frame(TEXT, b"x", rsv=rsv), after=1) for rsv in range(1, 8)
    }
    for name, opcode in (("ping", PING), ("close", CLOSE), ("binary", BINARY)):
        made[f"3 rsv 4 on {name}"] = _refused(Frame(opcode, rsv=4))
    made["3 rsv 3 chopped"] = _refused(_HELLO, Frame(TEXT, b"x", rsv=3), after=1, chop=1)
    for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        made[f"4 opcode {code}"] = _refused(Frame(code))
        made[f"4 opcode {code} with payload"] = _refused(Frame(code, b"x" * 20))
        made[f"4 opcode {code} chopped"] = _refused(_HELLO, Frame(code, b"x"), after=1, chop=1)
    return made


def _fragmentation() -> dict[str, Case]:
    two, ping = _in_fragments(TEXT, b"one", b"two"), Frame(PING, b"between")
    three = _in_fragments(TEXT, b"one", b"two", b"three")
    many = _in_fragments(BINARY, *([b"*" * 64] * 512))
    rest = Frame(CONTINUATION, b"rest")
    return {
        "5 ping in fragments": _refused(Frame(PING, b"a", fin=False), rest),
        "5 pong in fragments": _refused(Frame(PONG, b"a", fin=False), rest),
        "5 close in fragments": _refused(Frame(CLOSE, b"", fin=False), rest),
        "5 two": _echoed(*two),
        "5 two chopped": _echoed(*two, chop=1),
        "5 ping between": _echoed(two[0], ping, two[1], responses=2),
        "5 ping between, chopped": _echoed(two[0], ping, two[1], responses=2, chop=1),
        "5 pings between": _echoed(three[0], ping, three[1], ping, three[2], responses=3),
        "5 empty ones": _echoed(*_in_fragments(TEXT, b"", b"", b"")),
        "5 empty but the middle": _echoed(*_in_fragments(TEXT, b"", b"middle", b"")),
        "5 nothing to continue": _refused(rest),
        "5 nothing to continue, chopped": _refused(rest, chop=1),
        "5 nothing to continue any more": Case([_step(*two, responses=1), _step(rest)], 1002),
        "5 nothing to begin with": _refused(Frame(CONTINUATION, b"a", fin=False), rest),
        "5 a text within": _refused(two[0], _HELLO),
        "5 a text within, chopped": _refused(two[0], _HELLO, chop=1),
        "5 a beginning within": _refused(two[0], Frame(TEXT, b"a", fin=False)),
        "10 many": _echoed(*many),
        "10 many, chopped": _echoed(*many, chop=1300),
    }  # fmt: skip


_BAD_UTF8 = (
    b"\xce\xba\xed\xa0\x80edited", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80",
    b"\xff", b"\xf8\x88\x80\x80\x80", b"ok\xe2\x82",
)  # fmt: skip
_GOOD_UTF8 = ("κόσμε", "\0", "\u07ff\u0800\uffff", "\U00010000\U0010ffff", "\ufdd0\ufffe", "€" * 99)


def _utf8() -> dict[str, Case]:
    made = {}
    for at, text in enumerate(_GOOD_UTF8):
        data = text.encode()
        made[f"6 good {at}"] = _echoed(Frame(TEXT, data))
        made[f"6 good {at} in fragments"] = _echoed(
            *_in_fragments(TEXT, *(data[i : i + 1] for i in range(len(data))))
        )
    for at, data in enumerate(_BAD_UTF8):
        made[f"6 bad {at}"] = _refused(Frame(TEXT, data), code=1007)
        made[f"6 bad {at} in fragments"] = _refused(
            *_in_fragments(TEXT, b"fine ", data), code=1007, chop=1
        )
        made[f"6 bad {at} as bytes"] = _echoed(Frame(BINARY, data))
    return made


def _closes() -> dict[str, Case]:
    made: dict[str, Case] = {
        "7 close": Case([_BYE], 1000),
        "7 close behind a message": _echoed(_HELLO),
        "7 close twice": Case([_step(close(1000), close(1001))], 1000),
        "7 close, then ping": Case([_step(close(1000), Frame(PING, b"late"))], 1000),
        "7 close, then text": Case([_step(close(1000), _HELLO)], 1000),
        "7 close, then nonsense": Case([Step([said(close(1000)) + b"GET / HTTP/1.1\r\n"])], 1000),
        "7 close within a message": Case([_step(Frame(TEXT, b"a", fin=False), close(1000))], 1002),
        "7 close chopped": Case([_step(close(1000, b"bye"), chop=1)], 1000),
        "7 empty": Case([_step(Frame(CLOSE))], None),
        "7 one byte": Case([_step(Frame(CLOSE, b"a"))], 1002),
        "7 reason of 123": Case([_step(close(1000, b"*" * 123))], 1000),
        "7 reason of 124": Case([_step(close(1000, b"*" * 124))], 1002),
        "7 reason that is no text": Case([_step(close(1000, b"\xff"))], 1007),
    }
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        made[f"7 code {code}"] = Case([_step(close(code))], code)
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        made[f"7 code {code}, which isn't one"] = Case([_step(close(code))], 1002)
    return made


def _large() -> dict[str, Case]:
    data = bytes(range(256)) * 4096
    pieces = [data[at : at + 16384] for at in range(0, len(data), 16384)]
    return {
        "9 1 MiB": _echoed(Frame(BINARY, data)),
        "9 1 MiB chopped": _echoed(Frame(BINARY, data), chop=2048),
        "9 1 MiB in fragments": _echoed(*_in_fragments(BINARY, *pieces)),
        "9 500 messages": _echoed(*([Frame(TEXT, b"*" * 64)] * 500), responses=500),
    }


def _deflated(data: bytes) -> bytes:
    """Compress a message as RFC 7692 says, with no context from the one before."""
    packer = zlib.compressobj(wbits=-12)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


def _compression() -> dict[str, Case]:
    small, large = _deflated(b"Hello, world!"), _deflated(b"all the same " * 100_000)
    begun = Frame(TEXT, small[:3], fin=False, rsv=4)
    cases = {
        "12 small": _echoed(Frame(TEXT, small, rsv=4)),
        "12 small chopped": _echoed(Frame(TEXT, small, rsv=4), chop=1),
        "12 large": _echoed(Frame(TEXT, large, rsv=4)),
        "12 not compressed": _echoed(_HELLO),
        "12 both": _echoed(Frame(TEXT, small, rsv=4), _HELLO, responses=2),
        "12 in fragments": _echoed(*_in_fragments(TEXT, small[:3], small[3:], rsv=4)),
        "12 empty": _echoed(Frame(TEXT, b"\x00", rsv=4)),
        "12 the bit on what continues": _refused(begun, Frame(CONTINUATION, small[3:], rsv=4)),
        "12 the bit on a ping": _refused(Frame(PING, b"x", rsv=4)),
        "12 another bit": _refused(Frame(TEXT, small, rsv=6)),
        "12 no compression in it": _refused(Frame(TEXT, b"\xff" * 9, rsv=4)),
        "12 no text in it": _refused(Frame(TEXT, _deflated(b"\xff"), rsv=4), code=1007),
    }
    return {name: Case(case.steps, case.code, deflate=True) for name, case in cases.items()}


CASES = {
    **_framing(),
    **_pings(),
    **_reserved(),
    **_fragmentation(),
    **_utf8(),
    **_closes(),
    **_large(),
    **_compression(),
}

STRICTER = {
    "125 in two bytes": Frame(TEXT, b"*" * 125).raw(MASK, wide=2),
    "125 in eight": Frame(TEXT, b"*" * 125).raw(MASK, wide=8),
    "65535 in eight": Frame(BINARY, b"*" * 65535).raw(MASK, wide=8),
    "nothing in two": Frame(BINARY).raw(MASK, wide=2),
}
"""Frames that this app takes from anybody, and that end here with 1002."""
