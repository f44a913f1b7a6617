"""A rate as people write it in a file: ``20/s burst 100``, ``600/m``, or ``off``."""

import re
from typing import Literal, cast

from proxy.core.rates import Rate
from proxy.core.text_files.shape import shaped
from proxy.core.text_files.text import shown

OFF = "off"
_NUMBER = "[1-9][0-9]{0,5}"
_RATE = re.compile(f"(?P<number>{_NUMBER})/(?P<unit>[sm])(?: burst (?P<burst>{_NUMBER}))?")
_EXPECTED = (
    "expected off, or how many in a second (s) or minute (m) and at once, each from 1 to 999999, "
    "such as 20/s burst 100"
)
_SHAPE = {
    "type": "string",
    "pattern": rf"^(?:{OFF}|{_NUMBER}/[sm](?: burst {_NUMBER})?)$",
    "patternErrorMessage": _EXPECTED,
}


@shaped(_SHAPE)
def read_rate(text: object) -> Rate | None:
    """Return ``text`` as a rate, None for ``off``; raises ``ValueError`` for anything else.

    Without a burst as many may come at once as in one second or minute.
    """
    if text == OFF:
        return None
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        what = f", not {shown(text)}" if isinstance(text, str) else ""
        raise ValueError(f"{_EXPECTED}{what}")
    number = int(match["number"])
    unit = cast(Literal["s", "m"], match["unit"])
    return Rate(number, unit, int(match["burst"] or number))
