"""When a certificate is renewed, and how long it takes until a failed try is repeated.

The moment is spread by chance: else all that was started at once would ask its authority at once.
A try that failed is repeated ever later. An authority counts failures, and one that is asked too
often answers nobody of that name for hours.
"""

_PART = 2 / 3
"""Of a certificate's life, when it is renewed at the latest."""
_SPREAD = 1 / 20
"""Of its life, by which that may be earlier."""
FIRST_WAIT = 15 * 60
"""Seconds after a first failure. Let's Encrypt allows five failures an hour for each name."""
LONGEST_WAIT = 12 * 3600
_LONGER = 0.2
"""The part by which chance makes a wait longer."""
_MOST_DOUBLED = 10


def due_at(begins: float, ends: float, chance: float) -> float:
    """Return when a certificate is due to be renewed; ``chance`` is from 0 to 1."""
    return begins + (ends - begins) * (_PART - _SPREAD * chance)


def wait_after(failures: int, chance: float) -> float:
    """Return the seconds after so many failures in a row; ``chance`` is from 0 to 1."""
    wait = FIRST_WAIT << min(max(failures - 1, 0), _MOST_DOUBLED)
    return min(wait, LONGEST_WAIT) * (1 + _LONGER * chance)


def may_try(now: float, next_try: float) -> bool:
    """Tell whether the time of the next try has come.

    One that is further away than any wait was noted by a clock that was ahead.
    """
    return not now < next_try <= now + LONGEST_WAIT * (1 + _LONGER)
