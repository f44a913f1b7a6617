"""Patterns of base64: they match what an encoder writes, and no second spelling of it."""

import base64
import re
import string

import pytest

from proxy.core.signature.canonical import canonical_base64, canonical_base64url

STANDARD = string.ascii_letters + string.digits + "+/"


@pytest.mark.parametrize("size", [1, 2, 3, 16, 32, 64])
def test_of_all_last_characters_those_match_that_an_encoder_writes(size: int) -> None:
    pattern, url = re.compile(canonical_base64(size)), re.compile(canonical_base64url(size))
    matching = 0
    for start in (bytes(size), bytes(range(256))[-size:]):
        text = base64.b64encode(start).decode()
        body, padding = text.rstrip("="), text[len(text.rstrip("=")) :]
        for last in STANDARD:
            spelling = body[:-1] + last
            decoded = base64.b64decode(spelling + padding)
            is_canonical = base64.b64encode(decoded).decode() == spelling + padding
            assert bool(pattern.fullmatch(spelling + padding)) is is_canonical
            for_urls = spelling.translate(str.maketrans("+/", "-_"))
            assert bool(url.fullmatch(for_urls)) is is_canonical
            matching += is_canonical
    assert matching == 2 * {0: 64, 1: 4, 2: 16}[size % 3]


@pytest.mark.parametrize("size", [16, 32, 64])
def test_another_length_or_alphabet_never_matches(size: int) -> None:
    pattern, url = re.compile(canonical_base64(size)), re.compile(canonical_base64url(size))
    for wrong in (size - 1, size + 1, size + 3, 0):
        assert not pattern.fullmatch(base64.b64encode(bytes(wrong)).decode())
        assert not url.fullmatch(base64.urlsafe_b64encode(bytes(wrong)).decode().rstrip("="))
    full = base64.b64encode(b"\xff" * size).decode()
    assert pattern.fullmatch(full)
    assert not url.fullmatch(full.rstrip("="))
    for other in (
        full.rstrip("="),
        full + "=",
        full.replace("/", "_"),
        " " + full[1:],
        full + "\n",
    ):
        assert not pattern.fullmatch(other)
