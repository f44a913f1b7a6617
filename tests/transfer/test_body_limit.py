"""The size of a body whose length is told."""

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.transfer.body import refuse_large


def test_a_length_above_the_limit_is_refused_before_anything_has_come() -> None:
    with pytest.raises(Refusal) as caught:
        refuse_large((b"content-length", b"1025"), 1024)
    assert caught.value.code is Code.TOO_LARGE
    assert caught.value.detail == "1025 bytes; 1 KiB are taken"


@pytest.mark.parametrize(
    "framing", [None, (b"content-length", b"1024"), (b"transfer-encoding", b"chunked")]
)
def test_any_other_body_may_begin(framing: Field | None) -> None:
    refuse_large(framing, 1024)
