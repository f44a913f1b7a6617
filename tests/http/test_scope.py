"""A request's head as an ASGI scope."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.scope import decoded_path


@given(st.text("/%aF0.\u00e4=", max_size=20))
def test_a_path_is_decoded_as_asgi_says(path: str) -> None:
    if path.isascii():
        assert decoded_path(path.encode()) == unquote(path)


@pytest.mark.parametrize(
    ("path", "decoded"),
    [
        (b"/\xc3\xa4/%C3%A4", "/\u00e4/\u00e4"),
        (b"/\xe4", "/\ufffd"),
        (b"/" + b"%" * 300 + b"%41", "/" + "%" * 300 + "%41"),
    ],
)
def test_whatever_the_bytes_there_is_a_text(path: bytes, decoded: str) -> None:
    assert decoded_path(path) == decoded
