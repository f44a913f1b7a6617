"""The results by name, ours over theirs: less is better. CPU unless the name says otherwise."""

import sys
from collections.abc import Iterator, Mapping, Sequence

from bench.comparisons import Latency
from bench.figures import Sample, Spread, added, ratio
from bench.mixed import GROWTH
from bench.rounds import Results
from bench.tails import TAILS, THRONG
from bench.work import ALONE

IDLE = "mb_per_1000_idle"
UPLOAD = "mb_per_sealed_64mib_upload"
WEBSOCKETS = "mb_per_1000_websockets"
MESSAGE = "websocket_message_vs_nginx"
SYSCALLS = {"syscalls_public_hop": 6.0, "syscalls_verifying_hop": 14.0}
_IS_NEW = sys.version_info >= (3, 14)
REACH = {
    "public_hop_vs_nginx": 4.5 if _IS_NEW else 5.5,
    "public_hop_vs_asgiproxy": 0.55 if _IS_NEW else 0.6,
    "public_hop_c512_vs_nginx": 5.5,
    "signing_hop_vs_nginx": 15.0,
    "signing_hop_vs_asgiproxy": 1.8,
    "verifying_hop_vs_nginx": 16.0,
    "verifying_hop_vs_asgiproxy": 2.0,
    "two_hops_signed_vs_freeshard": 0.065,
    "sealed_call_vs_baseline": 0.7,
    "sealed_vs_signed": 1.5,
    "down_64mib_vs_nginx_64k": 1.0,
    "up_64mib_vs_nginx_64k": 1.15,
    "down_1mib_vs_nginx_64k": 1.3,
    "up_1mib_vs_nginx_64k": 1.3,
    "sealed_64mib_vs_nginx_64k": 2.0,
    "p50_public_hop_vs_nginx": 1.6,
    "p50_signing_hop_vs_nginx": 3.0,
    **{f"p99_{name}_vs_baseline": 1.0 for name in TAILS},
    **{f"p99_over_p50_{name}": 3.0 for name in TAILS},
    THRONG: 0.7,
    GROWTH: 1.0,
    IDLE: 2.8,
    WEBSOCKETS: 12.0,
    UPLOAD: 1.0,
    **SYSCALLS,
}
"""What is to be reached, by name."""
AT_LEAST = frozenset({THRONG})
"""Of these, what is to be reached at least: all others are the better the less they are."""
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
    for pair in comparison.pairs:
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
