"""What docs/monitoring names are numbers and alerts that there are, and it names all of them."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.monitoring.exposition import expose
from proxy.monitoring.families import FIGURES
from proxy.transfer.request_counts import RequestCounts
from proxy.transfer.shared_figures import Figure
from tests.transfer.test_request_counts import line

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
_NAME = re.compile(r"\bportal_[a-z_]+\b")
_ENDINGS = {"counter": ("_total",), "histogram": ("", "_bucket", "_sum", "_count")}


def _text(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """Return the labels of each number by its name, as a query has it."""
    counter = RequestCounts().of_worker(0)
    counter.count(line())
    figures = [
        Figure(name, 1, ("x",) * (len(family.labels) - (family.combine is None)))
        for name, family in FIGURES.items()
    ]
    text = expose(counter.counts, {0: figures}, 1).decode()
    return {
        family.name + ending: {label for sample in family.samples for label in sample.labels}
        for family in text_string_to_metric_families(text)
        for ending in _ENDINGS.get(family.type, ("",))
    }


@pytest.mark.parametrize("file", ["alerts.yaml", "dashboard.json"])
def test_what_is_asked_for_is_told(told: dict[str, set[str]], file: str) -> None:
    assert set(_NAME.findall(_text(file))) <= told.keys()


def test_the_table_has_every_number_with_its_labels(told: dict[str, set[str]]) -> None:
    section = _text("README.md").split("\n## The numbers\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`portal_[^|]+) \| ([^|]*)\|", section, re.MULTILINE)
    named = {
        name: set(re.findall(r"`(\w+)`", labels)) for names, labels in rows
        for name in _NAME.findall(names)
    }  # fmt: skip
    parts = {f"portal_request_duration_seconds{end}" for end in ("_bucket", "_sum", "_count")}
    assert named == {name: labels - {"le"} for name, labels in told.items() if name not in parts}


def test_the_table_has_every_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", _text("alerts.yaml"))
    section = _text("README.md").split("\n## The alerts\n", 1)[1]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == alerts


def test_the_dashboard_shows_each_panel_once() -> None:
    panels = json.loads(_text("dashboard.json"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    taken = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
