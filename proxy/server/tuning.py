"""How this process treats memory: which buffers it keeps, and when it looks for garbage.

By default glibc's allocator gives a large buffer that was let go of back to the kernel, which hands
out every page anew, cleared: through two proxies, a sealed body cost a page fault for each 4 KiB in
each of them, and a third more CPU. So it is told to keep some for the next one.
"""

import ctypes
import gc
from contextlib import suppress

KEPT = 4 * 1024 * 1024
"""Bytes of free memory that a process keeps at most at its end, for good."""
_MAPPED = 1024 * 1024
"""Bytes of a buffer that is given back by itself: more than any that a body passes through."""
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Both from glibc's malloc.h."""


def keep_buffers() -> bool:
    """Have this process keep up to ``KEPT`` bytes; tell whether its allocator takes the wish.

    Only glibc's is asked. Others, such as musl's, have no such settings.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        _ = libc.gnu_get_libc_version  # others may have a mallopt that means something else
        wishes = ((_M_TRIM_THRESHOLD, KEPT), (_M_MMAP_THRESHOLD, _MAPPED))
        return all(libc.mallopt(name, value) for name, value in wishes)
    return False


# When Python looks for garbage that refers to itself: seldom, and never among what stays.
IN_FLIGHT = 10_000
"""Objects that have come and not gone when it looks: some 300 requests in flight, or the garbage
of a few hundred that broke."""


def collect_rarely() -> None:
    """Have this process look rarely; call it once all is there that stays until the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(IN_FLIGHT, 10, 10)
