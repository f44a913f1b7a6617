"""Sizes as people write them."""

import pytest

from proxy.core.text_files.size import read_size, show_size

_MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("75", 75), ("75 B", 75), ("1KiB", 1024), ("32 MiB", 32 * _MIB),
     ("1.5 MiB", 3 * _MIB // 2), ("10 GiB", 10 << 30), ("2TiB", 2 << 40), ("100.0", 100)],
)  # fmt: skip
def test_a_size_is_read_with_its_unit_or_in_bytes(text: str, size: int) -> None:
    assert read_size(text, 0, 1 << 50) == size


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "-1", "+1", "1e3", " 1", "1  MiB", "1\tMiB", "1 MB", "1 mib", "1M", "1 MIB", "1.",
     ".5 MiB", "1.0001 MiB", "0.5", "0.001 KiB", "1\u00a0MiB", "\u0662", "1" * 16, "1\n", "inf",
     "unlimited", None, 5, ["1"]],
)  # fmt: skip
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size from 0 B to 1 GiB, such as 32 MiB"):
        read_size(text, 0, 1 << 30)


@pytest.mark.parametrize(
    ("text", "is_one"), [("1023", False), ("1024", True), ("1 MiB", True), ("1048577", False)]
)
def test_both_ends_are_held(text: str, *, is_one: bool) -> None:
    if is_one:
        assert read_size(text, 1024, _MIB)
    else:
        with pytest.raises(ValueError, match=r"from 1 KiB to 1 MiB, such as 32 MiB, not '"):
            read_size(text, 1024, _MIB)


@pytest.mark.parametrize("text", ["0 B", "1 B", "1023 B", "1 KiB", "1536 B", "32 MiB", "3 TiB"])
def test_a_size_is_shown_as_it_is_written(text: str) -> None:
    assert show_size(read_size(text, 0, 1 << 50)) == text
