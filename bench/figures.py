"""What is made of the measurements: medians, spreads, ratios. Nothing here measures.

A ratio is taken in each round, ours over theirs, and its median is the result: what disturbs the
machine disturbs both sides of one round alike, so ratios hold where absolute figures don't.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One stretch of load on one subject; times in seconds."""

    requests: int
    cpu: float
    """User and system time of the subject's processes."""
    elapsed: float
    p50: float
    resident: int = 0
    """Bytes of the subject's processes in memory, afterwards."""
    p99: float = 0.0

    @property
    def cost(self) -> float:
        """CPU per request, in microseconds."""
        return self.cpu / self.requests * 1e6

    @property
    def throughput(self) -> float:
        return self.requests / self.elapsed


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and their extremes."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.least)}..{shown(self.most)})"


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the extremes of ``values``; raises ``ValueError`` where none are."""
    if not values:
        raise ValueError("nothing was measured")
    return Spread(statistics.median(values), min(values), max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return ours over theirs, round by round."""
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def added(hop: Sequence[float], direct: Sequence[float]) -> list[float]:
    """Return what a hop adds to going direct, round by round; at least a microsecond."""
    return [max(one - other, 1e-6) for one, other in zip(hop, direct, strict=True)]


def shown(figure: float) -> str:
    """Return ``figure`` with as many digits as mean something."""
    if figure >= 100:  # noqa: PLR2004 - three digits
        return f"{figure:.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"  # noqa: PLR2004 - three digits
