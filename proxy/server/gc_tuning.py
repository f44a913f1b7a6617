"""When Python looks for garbage that refers to itself: seldom, and never among what stays.

By default it looks whenever 700 objects have come that haven't gone, which a few dozen requests in
flight are, though nearly all of it goes by itself: 7 % of what a small request costs.
"""

import gc

IN_FLIGHT = 10_000
"""Objects that have come and not gone when it looks: some 300 requests in flight, or the garbage
of a few hundred that broke."""


def collect_rarely() -> None:
    """Have this process look rarely; call it once all is there that stays until the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(IN_FLIGHT, 10, 10)
