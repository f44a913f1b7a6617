"""What the benchmark makes of its measurements: ratios, tables and charts."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.chart import Panel, curve_chart, ratio_chart
from bench.comparisons import Comparison, Latency, Pair, comparisons
from bench.crew import ROOT
from bench.figures import Sample, Spread
from bench.goals import GOALS, IDLE, MESSAGE, SYSCALLS, UPLOAD, WEBSOCKETS, Goal
from bench.interpreter import build
from bench.mixed import GROWTH
from bench.pages import PAGE, NoPlace, filled
from bench.ratios import ratios_of
from bench.report import machinery, tables, write
from bench.rounds import Results
from bench.start import CPU_TO_READY, HEALTH, RESIDENT
from bench.subjects import Subject
from bench.tails import TAILS, THRONG
from bench.work import ALONE, GET, POST

_SVG = "{http://www.w3.org/2000/svg}"


def _never(*_: object) -> object:
    raise NotImplementedError


def _results(ours: list[float], theirs: list[float]) -> Results:
    start: Callable[..., object] = _never
    subjects = tuple(Subject(name, start, (GET, POST)) for name in ("ours", "nginx"))  # type: ignore[arg-type]
    pairs = (Pair("public_hop", GET, "ours", "nginx"), Pair("post", POST, "ours", "nginx"))
    results = Results(Comparison("hop", subjects, (GET, POST), pairs))
    for name, costs in (("ours", ours), ("nginx", theirs)):
        results.samples[GET.name, name] = [Sample(1, cost, 1.0, 0.1) for cost in costs]
    return results


def test_ratios_have_their_names() -> None:
    found = ratios_of(_results([4.0, 6.0], [2.0, 2.0]))
    assert {name: value.median for name, value in found.items()} == {"public_hop_vs_nginx": 2.5}


def test_every_goal_is_the_goal_of_something_that_is_measured() -> None:
    measured = {pair.name for one in comparisons(ROOT) for pair in one.pairs}
    measured |= {latency.name for one in comparisons(ROOT) for latency in one.latencies}
    alone = {IDLE, UPLOAD, WEBSOCKETS, GROWTH, THRONG, CPU_TO_READY, RESIDENT, HEALTH, *SYSCALLS}
    alone |= {f"p99_{name}_vs_baseline" for name in TAILS}
    alone |= {f"p99_over_p50_{name}" for name in TAILS}
    assert set(GOALS) - measured == alone | {"sealed_64mib_vs_nginx_64k"}
    assert {"sealed_down_64mib_vs_nginx_64k", "sealed_up_64mib_vs_nginx_64k"} <= measured
    assert {"tls_hop_vs_nginx", "public_hop_vs_bare_asyncio"} <= measured


def test_the_page_tells_of_every_goal_and_has_a_place_for_every_table() -> None:
    page = PAGE.read_text("utf-8")
    for name in ("table.md", "machinery.md", "curves.md", "workers.md", "parts.md", "start.md"):
        assert filled(page, name, "") != page
    explained = {"public_hop", "signing_hop", "verifying_hop", "p50_", "p99_over_p50", MESSAGE}
    assert all(
        f"`{name}" in page
        for name in (
            *explained,
            IDLE,
            UPLOAD,
            WEBSOCKETS,
            GROWTH,
            THRONG,
            CPU_TO_READY,
            RESIDENT,
            HEALTH,
        )
    )


def test_names_of_ratios_are_given_once() -> None:
    names = [pair.name for one in comparisons(ROOT) for pair in one.pairs]
    names += [latency.name for one in comparisons(ROOT) for latency in one.latencies]
    assert len(set(names)) == len(names)


def test_every_ratio_is_of_two_subjects_that_both_do_its_case() -> None:
    for comparison in comparisons(ROOT):
        able = {subject.name: subject.cases for subject in comparison.subjects}
        for pair in comparison.pairs:
            assert pair.case in comparison.cases
            assert pair.case in able[pair.ours], pair
            assert pair.case in able[pair.theirs], pair
        for latency in comparison.latencies:
            assert all(ALONE in able[name] for name in (*latency.ours, *latency.theirs))


def test_the_worse_direction_is_the_one_that_counts() -> None:
    results = _results([], [])
    pairs = tuple(
        Pair(f"sealed_{way}_64mib", case, "ours", "nginx")
        for way, case in (("down", GET), ("up", POST))
    )
    results.comparison = Comparison("streams", results.comparison.subjects, (GET, POST), pairs)
    for case, cost in ((GET, 3.0), (POST, 5.0)):
        for name, factor in (("ours", cost), ("nginx", 1.0)):
            results.samples[case.name, name] = [Sample(1, factor, 1.0, 0.1)]
    assert ratios_of(results)["sealed_64mib_vs_nginx"].median == 5.0


def test_what_a_hop_adds_is_beyond_what_it_stands_before() -> None:
    results = _results([], [])
    latency = Latency("p50_ours", ("ours", "peer"), ("nginx", "direct"))
    results.comparison = Comparison("calls", results.comparison.subjects, (ALONE,), (), (latency,))
    for name, p50 in (("ours", 7e-3), ("peer", 3e-3), ("nginx", 2e-3), ("direct", 1e-3)):
        results.samples[ALONE.name, name] = [Sample(1, 1.0, 1.0, p50)]
    assert ratios_of(results)["p50_ours"].median == pytest.approx(4.0)


def test_what_failed_in_one_round_has_no_ratio_and_is_reported_with_its_error() -> None:
    results = _results([4.0, 6.0], [2.0])
    results.fail(GET.name, "nginx", "status 502; its log:\n worker died")
    assert ratios_of(results) == {}
    text = tables([results], {}, {IDLE: "no\nmemory"})
    assert "- hop, nginx, get_32: status 502; its log: worker died" in text
    assert f"- {IDLE}: no memory" in text


def test_each_goal_is_printed_beside_what_was_measured() -> None:
    found = {"signing_hop_vs_nginx": Spread(6.0, 5.0, 7.0)}
    text = tables([_results([4.0], [2.0])], found, {})
    assert "| signing_hop_vs_nginx | 6.00 (5.00..7.00) | 15; stretch 11.0 | 0.40 |" in text
    assert "| sealed_vs_signed | - | 1.5 |  |" in text


def test_what_is_to_be_reached_at_least_is_beyond_its_goal_where_it_is_less() -> None:
    text = tables([_results([4.0], [2.0])], {THRONG: Spread(0.35, 0.3, 0.4)}, {})
    assert f"| {THRONG} | 0.35 (0.30..0.40) | at least 0.7 | 2.00 |" in text


def test_a_goal_that_depends_on_the_python_says_the_other_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goal = Goal("hop", 5.5, on_new=4.5)
    monkeypatch.setattr("bench.goals._IS_NEW", False)
    assert (goal.reach, goal.times(11.0), str(goal)) == (5.5, 2.0, "5.5 (4.5 on 3.14)")
    monkeypatch.setattr("bench.goals._IS_NEW", True)
    assert (goal.reach, goal.times(9.0), str(goal)) == (4.5, 2.0, "4.5 (5.5 on 3.11)")


def test_machinery_is_told_from_the_least_on_and_against_nginx() -> None:
    results = _results([40.0, 60.0], [20.0, 20.0])
    lines = machinery(results, ratios_of(results)).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| nginx", "| ours"]
    assert " | 1 | " in lines[0]
    assert " | 2.50 (2.00..3.00) | " in lines[1]


def test_a_text_is_put_in_its_place_and_nowhere_else() -> None:
    page = "a\n<!-- bench/out/x.md -->\nold\n<!-- end -->\nb\n<!-- end -->\n"
    assert filled(page, "x.md", "new\n") == page.replace("old", "new")
    with pytest.raises(NoPlace, match=r"y\.md"):
        filled(page, "y.md", "new")


def test_ratios_are_written_flat(tmp_path: Path) -> None:
    results = _results([4.0], [2.0])
    write(tmp_path / "out", [results], ratios_of(results), {IDLE: "no memory"})
    assert json.loads((tmp_path / "out" / "ratios.json").read_text()) == {
        "python": build(),
        "public_hop_vs_nginx": 2.0,
    }
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["samples"]["hop"]["get_32 ours"][0]["cpu"] == 4.0
    assert run["not_measured"] == {IDLE: "no memory"}


def test_a_chart_of_ratios_has_a_bar_for_each_goal_that_was_measured() -> None:
    found = {
        "a": Spread(8.0, 8.0, 8.0),
        "b": Spread(0.5, 0.5, 0.5),
        "without": Spread(1.0, 1.0, 1.0),
    }
    goals = {"a": Goal("hop", 4.0), "b": Goal("hop", 1.0), "missing": Goal("hop", 2.0)}
    chart = ET.fromstring(ratio_chart(found, goals))
    bars = [one for one in chart.iter(f"{_SVG}rect") if one.get("height") == "14"]
    assert len(bars) == 2
    assert "".join(chart.itertext()).count("reach") == 2


def test_a_chart_of_curves_has_a_line_for_each_series_inside_its_plot() -> None:
    lines = {"one & more": [(1.0, 30.0), (1000.0, 900.0)], "other": [(1.0, 5.0)]}
    chart = ET.fromstring(curve_chart([Panel("size", "bytes", lines)] * 4))
    assert len(list(chart.iter(f"{_SVG}polyline"))) == 8
    width, height = (float(chart.get(side, "0")) for side in ("width", "height"))
    for dot in chart.iter(f"{_SVG}circle"):
        assert 0 < float(dot.get("cx", "-1")) < width
        assert 0 < float(dot.get("cy", "-1")) < height
