"""Claims on a replay store, for the tests of it."""

from pathlib import Path

from proxy.core.errors import Code, Refusal
from proxy.state.replay import ReplayStore

NOW = 1_800_000_000
ADA = "a" * 103
NONCE = bytes(32)


def opened(path: Path, now: float = NOW) -> ReplayStore:
    store = ReplayStore(path)
    store.open(now)
    return store


def response(
    store: ReplayStore, *, nonce: bytes = NONCE, created: int = NOW, now: float = NOW
) -> Code | None:
    """Return why the claim was refused, or ``None`` where it passed."""
    try:
        store.claim(ADA, nonce, created, now)
    except Refusal as refusal:
        return refusal.code
    return None


def alive(store: ReplayStore, start: int, end: int) -> None:
    for now in range(start, end + 1):
        store.keep_alive(now)


def rows(store: ReplayStore) -> int:
    assert store._db is not None
    count: int = store._db.execute("SELECT count(*) FROM claim").fetchone()[0]
    return count
