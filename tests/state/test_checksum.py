"""The checksum in front of a file: damage is told, and an owner's own text is read as it is."""

import pytest

from proxy.core.errors import Invalid
from proxy.state.checksum import check_intact, is_intact, with_checksum, without_checksum

REST = b"# a comment\npeers: []\n"
WHOLE = with_checksum(REST)


def test_what_was_written_is_intact_and_comes_back() -> None:
    assert is_intact(WHOLE)
    assert without_checksum(WHOLE) == REST
    check_intact("f", WHOLE, "")


def test_it_is_one_comment_in_the_first_line_that_says_what_to_do() -> None:
    first, _, rest = WHOLE.partition(b"\n")
    assert first.startswith(b"# ")
    assert b"delete this line" in first
    assert rest == REST


@pytest.mark.parametrize("data", [b"", REST, b"\n" + WHOLE, b"# checksum: 1\n"])
def test_what_has_no_checksum_in_its_first_line_is_the_owners(data: bytes) -> None:
    assert is_intact(data)
    assert without_checksum(data) == data


@pytest.mark.parametrize(
    "data",
    [
        WHOLE + b"\n",
        WHOLE[:-1],
        WHOLE.replace(b"[]", b"[ ]"),
        WHOLE.replace(b"\n", b"\r\n"),
        WHOLE.partition(b"\n")[0],
        WHOLE.partition(b"\n")[0] + b"\n",
        WHOLE.replace(b"checksum: ", b"checksum: 0"),
        WHOLE.replace(b"checksum: ", b"checksum:"),
        WHOLE.replace(b"Written", b"written"),
        WHOLE.replace(b"by hand, delete", b"by land, delete"),
        b"\xef\xbb\xbf" + WHOLE[:-1],
    ],
)
def test_any_other_rest_is_told(data: bytes) -> None:
    assert not is_intact(data)
    with pytest.raises(Invalid, match="f: line 1: was changed by hand, or is damaged") as caught:
        check_intact("f", data, "call a doctor")
    assert str(caught.value).endswith("delete its first line; otherwise call a doctor")


def test_a_byte_order_mark_that_an_editor_put_there_does_no_harm() -> None:
    assert is_intact(b"\xef\xbb\xbf" + WHOLE)
    assert without_checksum(b"\xef\xbb\xbf" + WHOLE) == REST
