"""The results by name, ours over theirs: less is better. CPU unless the name says otherwise."""

from collections.abc import Iterator, Sequence

from bench.figures import Sample, Spread, added, ratio
from bench.rounds import Results
from bench.subjects import DIRECT
from bench.work import ALONE, GET, Case

IDLE = "mb_per_1000_idle"
REACH = {
    "down_1mib_vs_nginx": 1.0,
    "up_1mib_vs_nginx": 1.25,
    "down_64mib_vs_nginx": 1.0,
    "up_64mib_vs_nginx": 1.25,
    IDLE: 3.0,
}
"""What is to be reached, by name."""


def ratios_of(results: Results) -> dict[str, Spread]:
    """Return every ratio of a comparison that could be taken."""
    comparison, found = results.comparison, {}
    for case in comparison.cases:
        for peer in comparison.peers:
            ours, theirs = results.both(case.name, peer.name)
            if ours:
                name = f"{name_of(comparison.name, case)}_vs_{peer.name}"
                found[name] = ratio(_costs(ours), _costs(theirs))
    return found | dict(_added_p50(results))


def name_of(comparison: str, case: Case) -> str:
    """Return what a case is called in the names of its ratios."""
    if comparison != "hop":
        return f"{comparison}_{'get' if case is GET else case.name}"
    if case.body != "small" or case.uploads:
        return case.name
    return "public_hop" if case is GET else f"public_hop_c{case.connections}"


def _added_p50(results: Results) -> Iterator[tuple[str, Spread]]:
    """Yield what a hop adds to the median time of one connection, ours over theirs."""
    for peer in results.comparison.peers:
        ours, theirs = results.both(ALONE.name, peer.name)
        direct = results.of(ALONE.name, DIRECT)
        if ours and len(direct) == len(ours):
            base = _p50s(direct)
            spread = ratio(added(_p50s(ours), base), added(_p50s(theirs), base))
            yield f"p50_public_hop_vs_{peer.name}", spread


def _costs(samples: Sequence[Sample]) -> list[float]:
    return [sample.cost for sample in samples]


def _p50s(samples: Sequence[Sample]) -> list[float]:
    return [sample.p50 for sample in samples]
