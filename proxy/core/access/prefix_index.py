"""Which of many prefixes a path begins with: the longest one, in a few comparisons."""

from bisect import bisect_right
from collections.abc import Iterable


class PrefixIndex:
    """Prefixes in order, ``b""`` always among them.

    A prefix's parent is the longest other one that it begins with. In the order of bytes, the
    longest prefix of a path is the last one before it, or one of that one's ancestors. Those may be
    as many as there are prefixes, so each has a second, farther ancestor to jump to: the number of
    comparisons is logarithmic (Myers, "An applicative random-access stack", 1983).
    """

    def __init__(self, prefixes: Iterable[bytes]) -> None:
        self.prefixes = sorted({b"", *prefixes})
        self.parents = [0]
        self._jumps = [0]
        depths = [0]
        for prefix in self.prefixes[1:]:
            parent = len(self.parents) - 1
            while not prefix.startswith(self.prefixes[parent]):
                parent = self.parents[parent]
            jump = self._jumps[parent]
            far = depths[parent] - depths[jump] == depths[jump] - depths[self._jumps[jump]]
            self.parents.append(parent)
            self._jumps.append(self._jumps[jump] if far else parent)
            depths.append(depths[parent] + 1)

    def longest(self, path: bytes) -> int:
        """Return the place, in ``prefixes``, of the longest one that ``path`` begins with."""
        prefixes = self.prefixes
        at = bisect_right(prefixes, path) - 1
        while not path.startswith(prefixes[at]):
            jump = self._jumps[at]
            at = self.parents[at] if path.startswith(prefixes[jump]) else jump
        return at
