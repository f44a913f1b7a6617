"""How the body of a request is framed on its way on."""

import pytest

from proxy.core.http.headers import Field
from proxy.core.http1.framing import IN_CHUNKS
from proxy.transfer.client import received_framing

_LENGTH = b"content-length"


@pytest.mark.parametrize(
    ("fields", "framing"),
    [
        ([], None),
        ([(b"transfer-encoding", b"Chunked")], IN_CHUNKS),
        ([(_LENGTH, b"10")], (_LENGTH, b"10")),
        ([(_LENGTH, b"010")], (_LENGTH, b"10")),
        ([(_LENGTH, b"0")], (_LENGTH, b"0")),
        ([(_LENGTH, b"000")], (_LENGTH, b"0")),
    ],
)
def test_a_length_has_one_form(fields: list[Field], framing: Field | None) -> None:
    assert received_framing(fields) == framing
