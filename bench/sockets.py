"""WebSockets: resident bytes of 1,000 on which nobody speaks, and the CPU of a message."""

import base64
import secrets
import socket
import time
from contextlib import ExitStack

from bench import nginx, portal
from bench.crew import Crew
from bench.endpoint import LOOPBACK, Endpoint
from bench.figures import Spread, ratio
from bench.load import PATIENCE, Wrong
from bench.servers.sockets import WORD
from bench.subjects import Running

SOCKETS = 1000
_FEW = 8
"""They are opened so many at a time, in a warm-up too: what that takes isn't what they take."""
_SPEAKING = 32
_MEGABYTE = 1e6
_SAID = b"\x81\x82\x00\x00\x00\x00hi"
"""A text frame, as clients send it."""
_HANDSHAKE = """\
GET / HTTP/1.1\r
host: {host}\r
user-agent: bench\r
connection: upgrade\r
upgrade: websocket\r
sec-websocket-version: 13\r
sec-websocket-key: {key}\r
\r
"""


def measure_sockets(crew: Crew) -> float:
    """Return the megabytes of 1,000 WebSockets, each of which said a word and was answered.

    Both of its sockets are meant: the client's and the app's. Raises ``NotStarted`` and ``Wrong``.
    """
    app = crew.start_python("sockets", measured=False)
    ada = portal.make(crew, "Ada")
    ada.add_app("sockets", app.port, portal.PUBLIC)
    endpoint = ada.way_in("sockets")
    running = Running(endpoint, endpoint, portal.serve(crew, ada), (app,))
    try:
        with ExitStack() as stack:
            _open(endpoint, _FEW, stack)
            before = running.resident_bytes()
            for _ in range(0, SOCKETS, _FEW):
                _open(endpoint, _FEW, stack)
            return (running.resident_bytes() - before) / _MEGABYTE
    except OSError as error:
        raise Wrong(f"{error}; its log: {running.last_words}") from None
    finally:
        running.end(crew)


def measure_message(crew: Crew, rounds: int, seconds: float) -> Spread:
    """Return the CPU of a message and its answer through our proxy, over that through nginx.

    Raises ``NotStarted`` and ``Wrong``.
    """
    app = crew.start_python("sockets", measured=False)
    ada = portal.make(crew, "Ada")
    ada.add_app("sockets", app.port, portal.PUBLIC)
    endpoint = ada.way_in("sockets")
    ours = Running(endpoint, endpoint, portal.serve(crew, ada), (app,))
    try:
        member = nginx.start_hop(crew, app.port, sockets=True)
        theirs = Running(Endpoint(member.port, "app"), Endpoint(member.port), (member,))
        try:
            costs = [[_message_cost(one, seconds) for one in (ours, theirs)] for _ in range(rounds)]
        finally:
            theirs.end(crew)
    except OSError as error:
        raise Wrong(f"{error}; its log: {ours.last_words}") from None
    finally:
        ours.end(crew)
    return ratio([one for one, _ in costs], [other for _, other in costs])


def _message_cost(running: Running, seconds: float) -> float:
    """Return the CPU seconds of a message, on some WebSockets that speak by turns."""
    with ExitStack() as stack:
        wires = _open(running.pages, _SPEAKING, stack)
        used, until, count = running.cpu_seconds(), time.perf_counter() + seconds, 0
        while time.perf_counter() < until:
            for wire in wires:
                wire.sendall(_SAID)
            for wire in wires:
                _hear_word(wire)
            count += len(wires)
        return (running.cpu_seconds() - used) / count


def _open(endpoint: Endpoint, count: int, stack: ExitStack) -> list[socket.socket]:
    """Open WebSockets, all at once, and have a word answered on each; ``stack`` closes them."""
    wires = []
    for _ in range(count):
        wire = socket.create_connection((LOOPBACK, endpoint.port), timeout=PATIENCE)
        wires.append(stack.enter_context(wire))
        key = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
        wire.sendall(_HANDSHAKE.format(host=endpoint.host, key=key).encode("ascii"))
    for wire in wires:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _heard(wire)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Wrong(f"the handshake was answered with {head[:80]!r}")
        wire.sendall(_SAID)
    for wire in wires:
        _hear_word(wire)
    return wires


def _hear_word(wire: socket.socket) -> None:
    word = b""
    while len(word) < len(WORD):
        word += _heard(wire)
    if word != WORD:
        raise Wrong(f"what was said was answered with {word!r}")


def _heard(wire: socket.socket) -> bytes:
    data = wire.recv(4096)
    if not data:
        raise Wrong("a WebSocket was closed")
    return data
