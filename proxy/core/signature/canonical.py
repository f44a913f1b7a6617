"""Base64 in its one canonical spelling, as a pattern: what it matches needn't be written anew.

A decoder ignores the bits of the last character that are beyond the last byte: ``AA==``, ``AB==``
and fourteen others are the same byte to it, and to whoever compares texts they are sixteen.
Source: RFC 4648, section 3.5.
"""

_STANDARD = "A-Za-z0-9+/"
_FOR_URLS = "A-Za-z0-9_-"
_LAST = {0: "", 1: "[AQgw]", 2: "[AEIMQUYcgkosw048]"}
"""The last character, whose bits beyond the last byte are 0, by how many bytes it is the end of."""


def canonical_base64(size: int) -> str:
    """Return the pattern of ``size`` bytes, padded with ``=``."""
    return _unpadded(size, _STANDARD) + "=" * (-size % 3)


def canonical_base64url(size: int) -> str:
    """Return the pattern of ``size`` bytes in the alphabet for URLs, without padding."""
    return _unpadded(size, _FOR_URLS)


def _unpadded(size: int, alphabet: str) -> str:
    last = _LAST[size % 3]
    characters = -(-size * 8 // 6) - bool(last)
    return f"[{alphabet}]{{{characters}}}{last}"
