"""What an identity document says about sealing: keys, and the largest chunk (docs/protocol.md, 2).

A newer Portal can say new things in two places, and a reader skips them: key configurations with
algorithms that it doesn't know, and members with names that it doesn't know. All else has one
form, and a document without it is believed in nothing. Nobody on the way can have put it there, as
the document is signed; but from half of a document two readers could take two halves, and "no key
that can be used" would hide from both owners what is wrong.
"""

import base64
from typing import NamedTuple

from proxy.core.sealing.key_config import KeyConfig, parse_key_config

MOST_KEYS = 16
"""Keys in a document. One is enough; a reader has to look at each."""

ASSUMED_CHUNK = 16_384
"""Bytes in a chunk, before it is sealed, that every receiver takes (Chunked OHTTP)."""

_LARGEST_ANNOUNCED = 1 << 24
_LAST_SECOND = 1 << 53


class OfferedKey(NamedTuple):
    """A key that calls may be sealed to until the Unix time ``until``."""

    config: KeyConfig
    until: int


def write_offers(offers: tuple[OfferedKey, ...]) -> list[dict[str, object]]:
    """Return the member ``sealing_keys``."""
    return [
        {"config": base64.b64encode(config.serialise()).decode("ascii"), "until": until}
        for config, until in offers
    ]


def read_offers(value: object) -> tuple[OfferedKey, ...]:
    """Read the member ``sealing_keys``: the keys that can be used here, in their order.

    Raises ``ValueError`` for any other form.
    """
    if not isinstance(value, list):
        raise ValueError("sealing_keys isn't a list")  # noqa: TRY004 - the document is wrong
    if len(value) > MOST_KEYS:
        raise ValueError(f"sealing_keys has {len(value)} entries, and {MOST_KEYS} are the most")
    offers: list[OfferedKey] = []
    for index, entry in enumerate(value):
        try:
            config, until = _read_entry(entry)
        except ValueError as error:
            raise ValueError(f"sealing_keys[{index}]: {error}") from None
        if config is not None:
            offers.append(OfferedKey(config, until))
    return tuple(offers)


def read_largest_chunk(value: object) -> int:
    """Read the member ``largest_chunk``: bytes; raises ``ValueError``.

    Below what every receiver must take it would cut our calls into crumbs: a peer could have us
    seal each byte by itself.
    """
    if type(value) is not int or value < ASSUMED_CHUNK:
        raise ValueError(f"largest_chunk isn't a number of bytes, {ASSUMED_CHUNK} or more")
    return min(value, _LARGEST_ANNOUNCED)


def _read_entry(entry: object) -> tuple[KeyConfig | None, int]:
    if not isinstance(entry, dict):
        raise ValueError("isn't an object")  # noqa: TRY004 - the document is wrong, not a type
    until = entry.get("until")
    if type(until) is not int or not 0 <= until < _LAST_SECOND:
        raise ValueError("until isn't a time in Unix seconds")
    return parse_key_config(_decoded(entry.get("config"))), until


def _decoded(text: object) -> bytes:
    """Return what is written as base64 in its one canonical form, padded (RFC 4648, section 4)."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        data = b""
    if not data or base64.b64encode(data).decode("ascii") != text:
        raise ValueError("config isn't base64 in its canonical form")
    return data
