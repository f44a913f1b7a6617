"""A time as people write it in a file: ``15s``, ``10m``, ``24h``, ``7d``, or seconds alone."""

import re

from proxy.core.text_files.text import shown

_DURATION = re.compile(r"(?P<number>[0-9]{1,7}(?:\.[0-9]{1,3})?)(?P<unit>[smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_duration(text: object, shortest: float, longest: float, example: str = "30s") -> float:
    """Return ``text`` in seconds; raises ``ValueError`` for what isn't a time between the two."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    # Rounded to what can be written: 1.1 hours are 3960 seconds, and not a little more.
    seconds = round(float(match["number"]) * _SECONDS[match["unit"]], 3) if match else -1.0
    if not shortest <= seconds <= longest:
        what = f", not {shown(text)}" if isinstance(text, str) else ""
        span = f"{show_duration(shortest)} to {show_duration(longest)}"
        raise ValueError(f"expected a time from {span}, such as {example}{what}")
    return seconds


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
