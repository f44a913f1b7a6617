"""The fast decoder decodes as Python's own does, whatever the bytes."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.percent_encoding import unquote

_PIECES = st.sampled_from(
    ["%", "%%", "=", "==", "=3D", "%3D", "%3d", "%25", "%4", "%41", "%aF", "\r", "\n", "\r\n",
     "=\n", "%\n", "%\r\n", "%0a", " ", "\t\n", "_", "a", "F", "4", "\xff", "\0", "."]
)  # fmt: skip
_TEXTS = st.lists(_PIECES, max_size=20).map(lambda pieces: "".join(pieces).encode("latin-1"))


@given(_TEXTS | st.binary(max_size=40))
def test_it_decodes_as_the_standard_library_does(path: bytes) -> None:
    assert unquote(path, len(path)) == unquote_to_bytes(path)


@given(_TEXTS | st.binary(max_size=40), st.integers(0, 5))
def test_more_strays_than_allowed_are_told_and_no_fewer(path: bytes, most: int) -> None:
    unquoted = unquote_to_bytes(path)
    strays = path.count(b"%") - sum(
        1 for at in range(len(path)) if unquote_to_bytes(path[at : at + 3]) != path[at : at + 3]
        and path[at : at + 1] == b"%"
    )  # fmt: skip
    assert unquote(path, most) == (unquoted if strays <= most else None)


@pytest.mark.parametrize(
    ("path", "decoded"),
    [
        (b"", b""), (b"/a", b"/a"), (b"/%61%2F", b"/a/"), (b"/100%25", b"/100%"),
        (b"/=%3D", b"/=="),
        (b"/a=\nb", b"/a=\nb"), (b"/%\n%41", b"/%\nA"), (b"/%2541", b"/%41"), (b"/%", b"/%"),
    ],
)  # fmt: skip
def test_each_escape_is_decoded_once(path: bytes, decoded: bytes) -> None:
    assert unquote(path, 1) == decoded
