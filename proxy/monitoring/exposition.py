"""Writes all numbers in Prometheus' text format, with its own library.

That is imported when somebody asks for the first time: a Portal that nobody watches needs no memory
for it. To be called in a thread; what is read here may be written meanwhile.
"""

import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from typing import TYPE_CHECKING

from proxy.monitoring.families import FIGURES, PREFIX
from proxy.transfer.request_counts import SECONDS, RequestCounts, RequestKind, RequestTotals
from proxy.transfer.shared_figures import Figure

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SWITCHED = 1
"""The class of the status 101: a WebSocket's, which may last for days."""
_Totals = Mapping[RequestKind, RequestTotals]


def expose(requests: RequestCounts, told: Mapping[int, Iterable[Figure]], workers: int) -> bytes:
    """Return every number; ``told`` is what each worker told of itself."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - as above

    registry = CollectorRegistry(auto_describe=False)
    totals = requests.totals()
    registry.register(_Metrics([
        *_of_requests(totals, requests.missed), *_of_workers(told, workers),
    ]))  # fmt: skip
    return generate_latest(registry)


class _Metrics:
    """What the library collects from."""

    def __init__(self, metrics: Iterable["Metric"]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable["Metric"]:
        return self._metrics

    def describe(self) -> Iterable["Metric"]:
        return ()


def _of_requests(totals: _Totals, missed: int) -> Iterator["Metric"]:
    from prometheus_client.core import (  # noqa: PLC0415 - as above
        CounterMetricFamily,
        HistogramMetricFamily,
    )

    ended = CounterMetricFamily(
        f"{PREFIX}requests",
        "Requests that ended. code is the proxy's own refusal; status is empty where there was no "
        "response.",
        labels=("listener", "app", "access", "mode", "outcome", "code", "status"),
    )
    for kind, total in totals.items():
        status = f"{kind.status_class}xx" if kind.status_class else ""
        ended.add_metric((*kind[:-1], status), total.number)
    yield ended
    moved = CounterMetricFamily(
        f"{PREFIX}request_bytes",
        "Content of requests (in) and of responses (out); sealed where it came sealed.",
        labels=("listener", "app", "direction"),
    )
    took = HistogramMetricFamily(
        f"{PREFIX}request_duration_seconds",
        "How long requests took, to the end of their response. Without WebSockets.",
        labels=("listener", "app"),
    )
    groups: defaultdict[tuple[str, str], list[tuple[RequestKind, RequestTotals]]]
    groups = defaultdict(list)
    for kind, total in totals.items():
        groups[kind.listener, kind.app].append((kind, total))
    for labels, group in groups.items():
        moved.add_metric((*labels, "in"), sum(total.bytes_in for _, total in group))
        moved.add_metric((*labels, "out"), sum(total.bytes_out for _, total in group))
        timed = [total for kind, total in group if kind.status_class != _SWITCHED]
        each = [sum(column) for column in zip(*(t.by_seconds for t in timed), strict=True)]
        if each:
            ends = [*map(str, SECONDS), "+Inf"]
            cumulated = list(zip(ends, accumulate(each), strict=True))
            took.add_metric(labels, cumulated, sum(total.seconds for total in timed))
    yield moved
    yield took
    yield CounterMetricFamily(
        f"{PREFIX}requests_uncounted",
        "Requests that are in no other number, since there were too many kinds of them.",
        value=missed,
    )


def _of_workers(told: Mapping[int, Iterable[Figure]], workers: int) -> Iterator["Metric"]:
    from prometheus_client.core import (  # noqa: PLC0415 - as above
        CounterMetricFamily,
        GaugeMetricFamily,
    )

    build = GaugeMetricFamily(
        f"{PREFIX}build_info", "What runs.", labels=("version", "python_version")
    )
    build.add_metric((version("portal-proxy"), platform.python_version()), 1)
    yield build
    yield GaugeMetricFamily(f"{PREFIX}workers", "Processes that are to serve.", value=workers)
    yield GaugeMetricFamily(f"{PREFIX}workers_serving", "Those that do.", value=len(told))
    found: dict[str, defaultdict[tuple[str, ...], list[float]]]
    found = {name: defaultdict(list) for name in FIGURES}
    for worker, figures in told.items():
        for name, value, labels in figures:
            more = (str(worker + 1),) if FIGURES[name].combine is None else ()
            found[name][(*labels, *more)].append(value)
    for name, family in FIGURES.items():
        kind = CounterMetricFamily if family.is_counter else GaugeMetricFamily
        metric = kind(f"{PREFIX}{name}", family.meaning, labels=family.labels)
        for labels, values in found[name].items():
            metric.add_metric(labels, (family.combine or sum)(values))
        yield metric
