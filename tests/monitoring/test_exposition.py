"""What Prometheus reads, by its own library's parser."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.monitoring.exposition import expose
from proxy.monitoring.families import FIGURES
from proxy.transfer.request_counts import RequestCounts
from proxy.transfer.shared_figures import Figure
from tests.transfer.test_request_counts import line

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: bytes) -> Samples:
    """Return the value of each sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_requests_are_told_by_kind_and_their_durations_by_app() -> None:
    counter = RequestCounts().of_worker(0)
    counter.count(line(access="public", mode="plain", bytes_in=3, bytes_out=5, seconds=0.2))
    counter.count(line(access="peer", mode="sealed", bytes_in=4, bytes_out=6, seconds=0.004))
    counter.count(line(status=101, seconds=1e6, bytes_out=100))
    counter.count(line("", outcome="refused", status=404, code="no_such_app", mode="plain"))
    counter.count(line("", outcome="left", status=0))
    found = samples(expose(counter.counts, {}, 1))
    kind = {"listener": "public", "outcome": "answered", "code": "", "status": "2xx"}
    sealed = {**kind, "app": "notes", "access": "peer", "mode": "sealed"}
    refused = {
        "listener": "public", "outcome": "refused", "code": "no_such_app", "status": "4xx",
        "app": "", "access": "", "mode": "plain",
    }  # fmt: skip
    left = {**refused, "outcome": "left", "code": "", "status": "", "mode": ""}
    for labels in (sealed, refused, left):
        assert value(found, "portal_requests_total", **labels) == 1
    here = {"listener": "public", "app": "notes"}
    assert value(found, "portal_request_bytes_total", **here, direction="in") == 7
    assert value(found, "portal_request_bytes_total", **here, direction="out") == 111
    took = "portal_request_duration_seconds"
    assert value(found, f"{took}_count", **here) == 2  # a WebSocket's duration is none
    assert value(found, f"{took}_sum", **here) == pytest.approx(0.204)
    assert value(found, f"{took}_bucket", **here, le="0.005") == 1
    assert value(found, f"{took}_bucket", **here, le="0.25") == 2
    assert value(found, f"{took}_bucket", **here, le="+Inf") == 2
    assert value(found, "portal_requests_uncounted_total") == 0


def test_of_several_workers_figures_are_made_one_as_each_family_says() -> None:
    running = Figure("running", 2, ("public", "notes", "websocket"))
    told = {
        0: [running, Figure("ready", 1), Figure("reloads", 4, ("apps",)), Figure("cpu_seconds", 1)],
        2: [running, Figure("ready", 0), Figure("reloads", 5, ("apps",)), Figure("cpu_seconds", 3)],
    }
    found = samples(expose(RequestCounts(3), told, 3))
    where = {"listener": "public", "app": "notes", "kind": "websocket"}
    assert value(found, "portal_running", **where) == 4
    assert value(found, "portal_ready") == 0
    assert value(found, "portal_reloads_total", file="apps") == 5
    assert value(found, "portal_cpu_seconds_total", worker="1") == 1
    assert value(found, "portal_cpu_seconds_total", worker="3") == 3
    assert value(found, "portal_workers") == 3
    assert value(found, "portal_workers_serving") == 2


def test_it_is_said_what_runs() -> None:
    found = samples(expose(RequestCounts(), {}, 1))
    (labels,) = (dict(labels) for name, labels in found if name == "portal_build_info")
    assert labels["version"] == version("portal-proxy")


def test_no_label_can_be_an_id_or_a_path() -> None:
    labels = {label for family in FIGURES.values() for label in family.labels}
    assert labels == {"listener", "app", "kind", "file", "worker"}
