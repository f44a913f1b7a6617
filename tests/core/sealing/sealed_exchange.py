"""Both ends of an exchange, and what an opener made of the stream that it was fed."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.core.sealing.response import ResponseSealer
from proxy.core.sealing.stream import ChunkOpener, ChunkSealer

KEY = SealingKey(bytes(range(32)))
KEY_ID = 7
EPHEMERAL = bytes(range(100, 132))
HEADER_LENGTH = 39
TAG = 16


def vector(name: str) -> dict[str, Any]:
    """Return a file of vectors."""
    path = Path(__file__).parents[2] / "vectors" / name
    return dict(json.loads(path.read_text("utf-8")))


def config(*aeads: Aead) -> KeyConfig:
    """Return the configuration of ``KEY``."""
    return KeyConfig(KEY_ID, KEY.public, aeads or tuple(Aead))


def find_key(key_id: int) -> SealingKey | None:
    """Know ``KEY`` alone."""
    return KEY if key_id == KEY_ID else None


def request_sealer(
    aead: Aead = Aead.AES_128_GCM, largest: int = 64, ephemeral: bytes = EPHEMERAL
) -> RequestSealer:
    """Seal to ``KEY``, in small chunks."""
    return RequestSealer(config(aead), ephemeral=ephemeral, largest=largest)


def request_opener(largest: int = 64) -> RequestOpener:
    """Open what was sealed to ``KEY``."""
    return RequestOpener(find_key, largest)


def response_sealer(request: RequestSealer, largest: int = 64) -> ResponseSealer:
    """Return the other end's sealer for the response to ``request``."""
    opener = request_opener()
    opener.feed(request.header)
    nonce = bytes(range(50, 50 + opener.response_nonce_length))
    return opener.response_sealer(nonce, largest)


def sealed(sealer: ChunkSealer, parts: Iterable[bytes]) -> list[bytes]:
    """Return the units of a message: its header, then chunk by chunk; the last part is final."""
    *others, last = parts
    return [sealer.header, *(sealer.seal(part) for part in others), sealer.finish(last)]


@dataclass
class Outcome:
    """What an opener made of a stream; ``refusal`` is None where the message was whole."""

    plaintext: bytes
    refusal: str | None
    most_held: int


def opened(opener: ChunkOpener, pieces: Iterable[bytes], *, ends: bool = True) -> Outcome:
    """Open ``pieces``; whatever else than ``CannotOpen`` is raised gets out."""
    outcome = Outcome(b"", None, 0)
    try:
        for piece in pieces:
            outcome.plaintext += b"".join(opener.feed(piece))
            outcome.most_held = max(outcome.most_held, opener.held)
        if ends:
            outcome.plaintext += opener.end()
    except CannotOpen as error:
        outcome.refusal = error.detail
    return outcome


@dataclass(frozen=True)
class Direction:
    """One direction of an exchange: how a message is sealed in it, and what opens it."""

    name: str
    seal: Callable[[Aead, Iterable[bytes]], list[bytes]]
    opener: Callable[[Aead], ChunkOpener]


def _seal_request(aead: Aead, parts: Iterable[bytes]) -> list[bytes]:
    return sealed(request_sealer(aead), parts)


def _seal_response(aead: Aead, parts: Iterable[bytes]) -> list[bytes]:
    return sealed(response_sealer(request_sealer(aead)), parts)


DIRECTIONS = (
    Direction("request", _seal_request, lambda _: request_opener()),
    Direction("response", _seal_response, lambda aead: request_sealer(aead).response_opener(64)),
)
