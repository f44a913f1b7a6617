"""Rates as people write them."""

import pytest

from proxy.core.rates import Rate
from proxy.core.text_files.rate import read_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [("off", None), ("20/s burst 100", Rate(20, "s", 100)), ("600/m", Rate(600, "m", 600)),
     ("1/s", Rate(1, "s", 1)), ("1/m burst 3", Rate(1, "m", 3)),
     ("999999/s burst 999999", Rate(999_999, "s", 999_999))],
)  # fmt: skip
def test_a_rate_is_read_with_its_burst_or_with_its_number_for_one(
    text: str, rate: Rate | None
) -> None:
    assert read_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "20", "/s", "20/", "0/s", "-1/s", "+1/s", "1.5/s", "1e3/s", "020/s", "20/h", "20/d",
     "20 /s", "20/ s", " 20/s", "20/s ", "20/s\n", "20/S", "20/sec", "20r/s", "20/s burst",
     "20/s burst 0", "20/s burst -1", "20/s  burst 5", "20/s burst=5", "20/s, burst 5",
     "20/s burst 5 burst 6", "1000000/s", "20/s burst 1000000", "\u0662/s", "Off", "none", "no",
     "false", "unlimited", None, 20, ["20/s"], {"20": "s"}],
)  # fmt: skip
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"expected off, or how many in a second .*burst 100"):
        read_rate(text)


@pytest.mark.parametrize("text", ["20/s burst 100", "600/m burst 600", "1/m burst 3"])
def test_a_rate_is_shown_as_it_is_written(text: str) -> None:
    assert str(read_rate(text)) == text
