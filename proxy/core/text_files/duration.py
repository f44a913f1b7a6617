"""A time as people write it in a file: ``15s``, ``10m``, ``24h``, ``7d``, or seconds alone."""

import re

from proxy.core.text_files.shape import JsonSchema, shaped, thousandths
from proxy.core.text_files.text import shown

_DURATION = re.compile(r"(?P<number>[0-9]{1,7}(?:\.[0-9]{1,3})?)(?P<unit>[smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_WHOLE_SECONDS = r"[0-9]+(?:(?:\.0{1,3})?s?|(?:\.[0-9](?:[05]0?)?)?m|(?:\.[0-9]{1,2}[05]?)?[hd])"


def _shape(shortest: float, longest: float, example: str = "30s") -> JsonSchema:
    units: dict[str, int] = {"s?": 1, "m": 60, "h": 3600, "d": 86_400}
    # In thousandths of each unit, which are so many milliseconds.
    spans = {
        unit: (-(-round(shortest * 1000) // seconds), round(longest * 1000) // seconds)
        for unit, seconds in units.items()
    }
    written = [f"{thousandths(*span)}{unit}" for unit, span in spans.items() if span[0] <= span[1]]
    return {
        "type": ["string", "number"],
        "pattern": rf"^(?=[0-9]{{1,7}}(?![0-9]))(?:{'|'.join(written)})$",
        "minimum": shortest,
        "maximum": longest,
        "patternErrorMessage": _expected(shortest, longest, example),
    }


def _shape_of_whole_seconds(shortest: int, longest: int, example: str) -> JsonSchema:
    shape = _shape(shortest, longest, example)
    pattern = f"^(?={_WHOLE_SECONDS}$){shape['pattern'].removeprefix('^')}"
    return {**shape, "type": ["string", "integer"], "pattern": pattern}


@shaped(_shape)
def read_duration(text: object, shortest: float, longest: float, example: str = "30s") -> float:
    """Return ``text`` in seconds; raises ``ValueError`` for what isn't a time between the two."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    # Rounded to what can be written: 1.1 hours are 3960 seconds, and not a little more.
    seconds = round(float(match["number"]) * _SECONDS[match["unit"]], 3) if match else -1.0
    if not shortest <= seconds <= longest:
        what = f", not {shown(text)}" if isinstance(text, str) else ""
        raise ValueError(f"{_expected(shortest, longest, example)}{what}")
    return seconds


def _expected(shortest: float, longest: float, example: str) -> str:
    span = f"{show_duration(shortest)} to {show_duration(longest)}"
    return f"expected a time from {span}, such as {example}"


@shaped(_shape_of_whole_seconds)
def read_whole_seconds(text: object, shortest: int, longest: int, example: str) -> int:
    """Do the same for a time in whole seconds: ``1.5h`` is one, ``600.5s`` isn't."""
    seconds = read_duration(text, shortest, longest, example)
    if not seconds.is_integer():
        raise ValueError(f"expected whole seconds, such as {example}, not {shown(str(text))}")
    return int(seconds)


def show_duration(seconds: float) -> str:
    """Return ``seconds`` as it would be written, in the largest unit of which it is a multiple."""
    if seconds:
        for unit in "dhm":
            if seconds % _SECONDS[unit] == 0:
                return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"
