"""Times as people write them."""

import pytest

from proxy.core.text_files.duration import read_duration, read_whole_seconds, show_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("75", 75), ("75s", 75), ("0.5s", 0.5), ("1.125", 1.125), ("10m", 600),
     ("24h", 86_400), ("1.5h", 5400), ("1.1h", 3960), ("7d", 604_800)],
)  # fmt: skip
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert read_duration(text, 0, 1e6) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1", "+1", "1e3", " 1", "1 s", "1S", "1ms", "1.", ".5", "1.0001", "\u0662",
     "12345678", "1\n", "inf", "nan", None, 5, ["1"]],
)  # fmt: skip
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a time from 0s to 30d, such as 30s"):
        read_duration(text, 0, 30 * 86_400)


@pytest.mark.parametrize(
    ("text", "is_one"), [("9", False), ("10", True), ("1m", True), ("61", False)]
)
def test_both_ends_are_held(text: str, *, is_one: bool) -> None:
    if is_one:
        assert read_duration(text, 10, 60)
    else:
        with pytest.raises(ValueError, match=r"from 10s to 1m, such as 30s, not '"):
            read_duration(text, 10, 60)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("600", 600), ("10m", 600), ("600.0s", 600), ("1.1h", 3960), ("0.007d", None), ("0.01d", 864)],
)
def test_a_time_may_have_to_be_whole_seconds(text: str, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match=r"expected whole seconds, such as 24h, not '0\.007d'"):
            read_whole_seconds(text, 600, 86_400, "24h")
    else:
        whole = read_whole_seconds(text, 600, 86_400, "24h")
        assert (whole, type(whole)) == (seconds, int)


@pytest.mark.parametrize("text", ["599", "1441m", "ten", None])
def test_whole_seconds_have_their_bounds_and_their_example(text: object) -> None:
    with pytest.raises(ValueError, match="expected a time from 10m to 1d, such as 24h"):
        read_whole_seconds(text, 600, 86_400, "24h")


@pytest.mark.parametrize("text", ["0s", "0.5s", "59s", "90s", "1m", "1h", "1d", "30d", "61m"])
def test_a_time_is_shown_as_it_is_written(text: str) -> None:
    assert show_duration(read_duration(text, 0, 1e7)) == text
