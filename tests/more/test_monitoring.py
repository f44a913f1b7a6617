"""docs/monitoring with real programs: promtool, and a Prometheus that scrapes a Portal of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal, contact, end, reserve_port, wait_for_ports
from tests.wire.harness.raw import exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import new_key
from tests.wire.test_ending import get, half_sent

pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(
        shutil.which("promtool") is None or shutil.which("prometheus") is None,
        reason="no prometheus here",
    ),
]

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
WORKERS = 2
_CONFIG = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: portal
    static_configs: [{{targets: ["127.0.0.1:{owner}"]}}]
"""
_VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$app": ".*"}
_WITHOUT_TLS = "portal_certificate_expiry_timestamp_seconds"
"""Told where the public listener speaks TLS alone."""


def queries() -> dict[str, str]:
    """Return every query of the dashboard by where it stands."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }
    for annotation in DASHBOARD["annotations"]["list"]:
        found[annotation["name"]] = annotation["expr"]
    return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Portal of several workers, with something of everything; gives Prometheus' port."""
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        portal = Portal(folder / "gina", "Gina", workers=WORKERS)
        stack.callback(portal.release)
        portal.add_app("site", SITE, app.port)
        nobody = contact(new_key().public.portal_id, "Nobody", 9, 9, "sealed")
        portal.knows(nobody, apps={"site": "all"})
        portal.start()
        holder, port = reserve_port()
        stack.enter_context(holder)
        config = folder / "prometheus.yaml"
        config.write_text(_CONFIG.format(rules=FOLDER / "alerts.yaml", owner=portal.owner))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    "prometheus", f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        stack.callback(end, process)
        wait_for_ports(process, port, log=folder / "log")
        use(portal, app, nobody.id)
        eventually(lambda: result(port, "portal_workers_serving == 2"))
        wanted = 'count_over_time(portal_requests_total{outcome="left"}[1m]) > 1'
        eventually(lambda: result(port, wanted))
        yield port


def use(portal: Portal, app: Recorder, peer: str) -> None:
    """Have requests answered, refused, left, and made to a peer that isn't there."""
    for _ in range(3):
        assert exchange(portal.public, get(portal)).status == 200
    nowhere = request("GET", "/", ("Host", f"nowhere.{portal.host}"))
    assert exchange(portal.public, nowhere).status == 404
    half_sent(portal, app).__exit__()
    fields = (("Host", "portal_core"), ("Portal-Token", portal.token("site")))
    call = request("GET", f"/internal/call_peer/{peer}/", *fields)
    assert exchange(portal.apps, call).status == 502
    app.script(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def asked(port: int, path: str, **values: str) -> Any:
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(values)}"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return json.load(response)


def result(port: int, query: str) -> list[Any]:
    """Return what Prometheus answers to a query."""
    told = asked(port, "query", query=query, time=str(time.time()))
    assert told["status"] == "success"
    found: list[Any] = told["data"]["result"]
    return found


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_nothing_wrong_with_the_files() -> None:
    run("promtool", "check", "rules", str(FOLDER / "alerts.yaml"))
    run("promtool", "check", "config", str(FOLDER / "prometheus.yaml"))


def test_each_alert_begins_when_it_should_and_none_when_all_is_well() -> None:
    tests = Path(__file__).parent / "monitoring" / "alerts_test.yaml"
    run("promtool", "test", "rules", str(tests))
    names = {
        line.partition("alert: ")[2].strip()
        for line in (FOLDER / "alerts.yaml").read_text("utf-8").splitlines()
        if "alert: " in line
    }
    assert [name for name in names if f'"{name}"' not in tests.read_text("utf-8")] == []


def test_promtool_finds_nothing_wrong_with_the_numbers(watched: int) -> None:
    instance = result(watched, 'up{job="portal"} == 1')[0]["metric"]["instance"]
    with urllib.request.urlopen(f"http://{instance}/metrics", timeout=PATIENCE) as response:
        told = response.read()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=told, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("where", queries())
def test_prometheus_answers_each_query_of_the_dashboard(watched: int, where: str) -> None:
    query = queries()[where]
    for name, value in _VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query
    found = result(watched, query)
    if _WITHOUT_TLS not in query and where != "Started":
        assert found


def test_the_dashboard_can_be_narrowed_down_to_each_portal_and_app(watched: int) -> None:
    wanted = {"instance": "portal_build_info", "app": "portal_requests_total"}
    lists = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    for label, metric in wanted.items():
        assert lists[label]["definition"] == f"label_values({metric}, {label})"
        values = asked(watched, f"label/{label}/values", **{"match[]": metric})["data"]
        assert values
    assert "site" in values


def test_prometheus_evaluates_each_alert_and_none_fires(watched: int) -> None:
    def rules() -> list[Any]:
        groups = asked(watched, "rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    eventually(lambda: rules() and all(rule["health"] != "unknown" for rule in rules()))
    assert [rule["name"] for rule in rules() if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules() if rule["state"] == "firing"] == []
