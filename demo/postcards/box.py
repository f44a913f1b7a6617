"""The box: every card that came in or went out, in one SQLite file.

A card's text comes from somebody else: it is cut down to what can be shown before it is kept.
"""

import sqlite3
import unicodedata
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TEXT_LIMIT = 500
"""Characters on one card."""
KEPT = 1000
"""Cards kept each way: a peer that never stops writing can't fill the disk."""
SHOWN = 50

Direction = Literal["in", "out"]

_SCHEMA = """CREATE TABLE IF NOT EXISTS cards (
    number INTEGER PRIMARY KEY, way TEXT NOT NULL, peer_id TEXT NOT NULL, peer_name TEXT NOT NULL,
    text TEXT NOT NULL, at INTEGER NOT NULL)"""
_PRUNE = """DELETE FROM cards WHERE way = ?1 AND number NOT IN
    (SELECT number FROM cards WHERE way = ?1 ORDER BY number DESC LIMIT ?2)"""


@dataclass(frozen=True)
class Card:
    """One postcard; ``peer_id`` is the full Portal ID of the other side, ``at`` Unix seconds."""

    way: Direction
    peer_id: str
    peer_name: str
    text: str
    at: int


def clean_text(text: str) -> str:
    """Return ``text`` as a card can hold it: one kind of line end, no control characters.

    Raises ``ValueError``, saying what a person can do about it, where nothing or too much is left.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(c for c in lines if c == "\n" or unicodedata.category(c) not in {"Cc", "Cs"})
    kept = kept.strip()
    if not kept:
        raise ValueError("Write something on the card first.")
    if len(kept) > TEXT_LIMIT:
        raise ValueError(
            f"A card holds {TEXT_LIMIT} characters; this text has {len(kept)}. Shorten it."
        )
    return kept


class Box:
    """The cards in the file at ``path``, which is made where it is missing; used by all threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._open()) as database, database:
            database.execute(_SCHEMA)

    def keep(self, card: Card) -> None:
        """Put ``card`` in, and let the oldest of its way go where there are more than ``KEPT``."""
        row = (card.way, card.peer_id, card.peer_name, card.text, card.at)
        with closing(self._open()) as database, database:
            database.execute(
                "INSERT INTO cards (way, peer_id, peer_name, text, at) VALUES (?, ?, ?, ?, ?)", row
            )
            database.execute(_PRUNE, (card.way, KEPT))

    def latest(self, way: Direction) -> list[Card]:
        """Return the newest cards of one way, newest first, at most ``SHOWN``."""
        with closing(self._open()) as database:
            rows = database.execute(
                "SELECT way, peer_id, peer_name, text, at FROM cards WHERE way = ?"
                " ORDER BY number DESC LIMIT ?",
                (way, SHOWN),
            ).fetchall()
        return [Card(*row) for row in rows]

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10)
