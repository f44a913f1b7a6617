"""The two clients as one: a test that is written once runs with each."""

import asyncio
from typing import Any, Protocol, Self

import httpx

from portal_peers import AsyncPortal, Portal
from portal_peers.calls import PeerFacts


class Client(Protocol):
    """What both can do."""

    def peers(self, name: str = "") -> list[PeerFacts]: ...
    def peer(self, peer_id: str) -> PeerFacts: ...
    def whoareyou(self) -> dict[str, Any]: ...
    def call(self, peer: str, method: str, path: str | bytes, **options: Any) -> httpx.Response: ...
    def stream(self, peer: str, method: str, path: str, **options: Any) -> list[bytes]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Waiting:
    """``Portal``."""

    def __init__(self, *words: Any, **options: Any) -> None:
        self._portal = Portal(*words, **options)

    def peers(self, name: str = "") -> list[PeerFacts]:
        return [_facts(each) for each in self._portal.peers(name)]

    def peer(self, peer_id: str) -> PeerFacts:
        return _facts(self._portal.peer(peer_id))

    def whoareyou(self) -> dict[str, Any]:
        return self._portal.whoareyou()

    def call(self, peer: str, method: str, path: str | bytes, **options: Any) -> httpx.Response:
        return self._portal.request(peer, method, path, **options)

    def stream(self, peer: str, method: str, path: str, **options: Any) -> list[bytes]:
        with self._portal.stream(peer, method, path, **options) as response:
            return list(response.iter_bytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.close()


class Looping:
    """``AsyncPortal``, in a loop of its own."""

    def __init__(self, *words: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._portal = AsyncPortal(*words, **options)

    def peers(self, name: str = "") -> list[PeerFacts]:
        return [_facts(each) for each in self._runner.run(self._portal.peers(name))]

    def peer(self, peer_id: str) -> PeerFacts:
        return _facts(self._runner.run(self._portal.peer(peer_id)))

    def whoareyou(self) -> dict[str, Any]:
        return self._runner.run(self._portal.whoareyou())

    def call(self, peer: str, method: str, path: str | bytes, **options: Any) -> httpx.Response:
        return self._runner.run(self._portal.request(peer, method, path, **options))

    def stream(self, peer: str, method: str, path: str, **options: Any) -> list[bytes]:
        async def read() -> list[bytes]:
            async with self._portal.stream(peer, method, path, **options) as response:
                return [piece async for piece in response.aiter_bytes()]

        return self._runner.run(read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._portal.aclose())
        self._runner.close()


BOTH = (Waiting, Looping)


def _facts(peer: Any) -> PeerFacts:
    return PeerFacts(peer.id, peer.name, peer.is_reachable)
