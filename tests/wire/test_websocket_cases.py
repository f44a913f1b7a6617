"""The same bytes to an app directly and through the proxy: the client sees the same.

But for what is named in ``STRICTER``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.core.websocket.framing import CLOSE, Frame, frames_of
from tests.wire.harness.portals import Portal
from tests.wire.harness.sockets import RawSocket, WebSocketApp, handshake
from tests.wire.harness.websocket_cases import CASES, STRICTER, Case, Step

pytestmark = pytest.mark.more  # core/websocket has the same rows; this is every one of them twice

_OPEN = """{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}"""
_DEFLATE = ("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover")
Ends = tuple[tuple[int, str], tuple[int, str]]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    """Give the port and the host of the app itself, and those by which the proxy leads there."""
    with ExitStack() as stack:
        app = stack.enter_context(WebSocketApp())
        portal = Portal(tmp_path_factory.mktemp("cases") / "wendy", "Wendy")
        stack.callback(portal.release)
        portal.add_app("sock", _OPEN, app.port)
        portal.start()
        host = portal.app_host("sock")
        yield (app.port, host), (portal.public, host)
        assert "Traceback" not in portal.log, portal.log


def _talk(end: tuple[int, str], case: Case) -> list[Frame]:
    """Hold the conversation; return all frames that came."""
    port, host = end
    got: list[Frame] = []
    with RawSocket(port) as wire:
        fields = (_DEFLATE,) if case.deflate else ()
        wire.open(handshake(host, "/public/echo", *fields))
        data = b""
        for step in case.steps:
            for piece in step.pieces:
                try:
                    wire.send(piece)
                except ConnectionError:
                    break  # it was refused by now
            count = len(got) + step.responses
            while len(got) < count:
                more = wire.piece()
                assert more, (got, data)
                frames, data = frames_of(data + more)
                got += frames
        frames, rest = frames_of(data + wire.rest())
        assert rest == b""
        return got + frames


def _code(frames: list[Frame]) -> int | None:
    """Return the code of the Close that must be the last frame."""
    assert [frame.opcode for frame in frames].index(CLOSE) == len(frames) - 1
    return int.from_bytes(frames[-1].payload[:2], "big") if frames[-1].payload else None


@pytest.mark.parametrize("name", CASES)
def test_the_client_sees_what_it_sees_of_the_app_itself(ends: Ends, name: str) -> None:
    bare, proxied = (_talk(end, CASES[name]) for end in ends)
    assert _code(proxied) == CASES[name].code
    # Why it was closed may be told in other words.
    assert [_outline(frame) for frame in proxied] == [_outline(frame) for frame in bare]


def _outline(frame: Frame) -> Frame:
    return Frame(CLOSE, frame.payload[:2]) if frame.opcode == CLOSE else frame


@pytest.mark.parametrize("name", STRICTER)
def test_we_are_stricter_than_this_app_with_lengths_alone(ends: Ends, name: str) -> None:
    frame = STRICTER[name]
    bare = _talk(ends[0], Case([Step([frame], 1), CASES["7 close"].steps[0]], 1000))
    assert _code(bare) == 1000
    proxied = _talk(ends[1], Case([Step([frame])], 1002))
    assert _code(proxied) == 1002
    assert len(proxied) == 1
