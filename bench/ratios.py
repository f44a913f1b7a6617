"""The results by name, ours over theirs: less is better. CPU unless the name says otherwise."""

from collections.abc import Iterator, Mapping, Sequence

from bench.comparisons import Latency
from bench.figures import Sample, Spread, added, ratio
from bench.rounds import Results
from bench.work import ALONE

_WORSE = {
    "sealed_64mib_vs_nginx": ("sealed_down_64mib_vs_nginx", "sealed_up_64mib_vs_nginx"),
    "sealed_64mib_vs_nginx_64k": (
        "sealed_down_64mib_vs_nginx_64k",
        "sealed_up_64mib_vs_nginx_64k",
    ),
}
"""Ratios that are the worse one of two."""


def ratios_of(results: Results) -> dict[str, Spread]:
    """Return every ratio of a comparison that could be taken."""
    comparison, found = results.comparison, {}
    for pair in (*comparison.pairs, *comparison.others):
        ours, theirs = results.both(pair.case.name, pair.ours, pair.theirs)
        if ours:
            found[pair.name] = ratio(_costs(ours), _costs(theirs))
    for latency in comparison.latencies:
        if (spread := _added_p50(results, latency)) is not None:
            found[latency.name] = spread
    return found | dict(_worse(found))


def _worse(found: Mapping[str, Spread]) -> Iterator[tuple[str, Spread]]:
    for name, names in _WORSE.items():
        if all(one in found for one in names):
            yield name, max((found[one] for one in names), key=lambda spread: spread.median)


def _added_p50(results: Results, latency: Latency) -> Spread | None:
    """Return what a hop adds to the median time of one connection, ours over theirs."""
    names = (*latency.ours, *latency.theirs)
    medians = [[one.p50 for one in results.of(ALONE.name, name)] for name in names]
    if not medians[0] or len({len(one) for one in medians}) != 1:
        return None
    return ratio(added(medians[0], medians[1]), added(medians[2], medians[3]))


def _costs(samples: Sequence[Sample]) -> list[float]:
    return [sample.cost for sample in samples]
