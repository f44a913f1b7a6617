"""What an operator's monitoring gets from the owner's listener of a real proxy."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from proxy.server.quick_health import quick_health
from tests.monitoring.test_exposition import Samples, samples
from tests.transfer.relay_sides import KEY, SWITCHED
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_ending import get, half_sent, process_of
from tests.wire.test_workers import workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 2
MANY = 40


def ask(portal: Portal, path: str, host: str = "localhost") -> Raw:
    return exchange(portal.owner, request("GET", path, ("Host", host)))


def metrics(portal: Portal) -> Samples:
    got = ask(portal, "/metrics")
    assert got.status == 200
    assert got.one("content-type") == b"text/plain; version=0.0.4; charset=utf-8"
    return samples(got.body)


def total(found: Samples, wanted: str, **facts: str) -> float:
    """Return the sum of all samples of this name that have these labels."""
    return sum(
        value
        for (name, labels), value in found.items()
        if name == wanted and facts.items() <= dict(labels).items()
    )


def told(portal: Portal, name: str, **facts: str) -> float:
    return total(metrics(portal), f"portal_{name}", **facts)


@pytest.fixture
def gina(gina: Portal) -> Iterator[Portal]:
    yield gina.start()
    assert gina.MISTAKE not in gina.log


def test_each_request_is_counted_once_by_what_became_of_it(gina: Portal) -> None:
    for _ in range(3):
        assert exchange(gina.public, get(gina)).status == 200
    nowhere = request("GET", "/secret-path", ("Host", f"nowhere.{gina.host}"))
    assert exchange(gina.public, nowhere).status == 404
    assert exchange(gina.apps, request("GET", "/x", ("Host", "portal_core"))).status >= 400
    found = metrics(gina)
    site = {"listener": "public", "app": "site", "access": "public", "mode": "plain"}
    answered = {"outcome": "answered", "status": "2xx", "code": ""}
    assert total(found, "portal_requests_total", **site, **answered) == 3
    refused = {"outcome": "refused", "code": "no_such_app", "status": "4xx"}
    assert total(found, "portal_requests_total", **refused) == 1
    assert total(found, "portal_requests_total", listener="apps") == 1
    assert total(found, "portal_request_duration_seconds_count", app="site") == 3
    assert total(found, "portal_request_bytes_total", app="site", direction="out") == 6
    assert total(found, "portal_ready") == 1
    assert total(found, "portal_replay_store_up") == 1
    assert total(found, "portal_sealing_keys") == 1
    text = ask(gina, "/metrics").body.decode()
    assert gina.id not in text
    assert "secret" not in text
    assert "127.0.0.1" not in text


def test_what_runs_is_told_by_kind(gina: Portal, app: Recorder) -> None:
    with half_sent(gina, app):
        eventually(lambda: told(gina, "running", app="site", kind="request") == 1)
        assert told(gina, "connections", listener="public") == 1
    eventually(lambda: told(gina, "running") == 0)
    app.script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    with RawConnection(gina.public) as wire:
        wire.send(get(gina))
        wire.until(b"ab")
        assert told(gina, "running", app="site", kind="stream") == 1


def test_a_websocket_runs_as_one_and_is_counted_when_it_is_over(
    gina: Portal, app: Recorder
) -> None:
    agreed = b"".join(b"%s: %s\r\n" % field for field in SWITCHED)
    app.script(b"HTTP/1.1 101 Switching Protocols\r\n%s\r\n" % agreed)
    fields = (
        ("Host", gina.app_host("site")), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY.decode()),
    )  # fmt: skip
    with RawConnection(gina.public) as wire:
        wire.send(request("GET", "/", *fields))
        assert wire.read(to_head=True).status == 101
        assert told(gina, "running", app="site", kind="websocket") == 1
        assert told(gina, "requests_total", app="site") == 0
    eventually(lambda: told(gina, "requests_total", app="site", status="1xx") == 1)
    assert told(gina, "running", kind="websocket") == 0
    assert told(gina, "request_duration_seconds_count", app="site") == 0


def test_a_file_that_is_wrong_or_new_shows(gina: Portal) -> None:
    assert told(gina, "file_ok", file="apps") == 1
    gina.add_app("another", SITE, 1)
    eventually(lambda: told(gina, "reloads_total", file="apps") >= 1)
    assert told(gina, "apps") >= 2
    (gina.state / "contacts.yaml").write_text("peers: [")
    eventually(lambda: told(gina, "file_ok", file="contacts.yaml") == 0)
    assert told(gina, "ready") == 0


def test_who_asks_whether_it_is_ready_hears_why_not(gina: Portal) -> None:
    assert ask(gina, "/livez").body == b"ok\n"
    well = ask(gina, "/readyz")
    assert (well.status, well.json()) == (200, {"status": "ok", "id": gina.id, "problems": []})
    (gina.state / "contacts.yaml").write_text("peers: [")
    eventually(lambda: ask(gina, "/readyz").status == 503)
    why = ask(gina, "/readyz").json()
    assert why["status"] == "degraded"
    assert "contacts.yaml" in why["problems"][0]
    assert ask(gina, "/livez").status == 200
    assert ask(gina, "/health").status == 200


def test_a_proxy_that_is_about_to_end_is_not_ready(gina: Portal, app: Recorder) -> None:
    with half_sent(gina, app), RawConnection(gina.owner) as wire:
        process_of(gina).terminate()
        wire.send(b"GET /readyz HTTP/1.1\r\n")
        eventually(lambda: is_refused(gina))
        wire.send(b"Host: localhost\r\n\r\n")
        got = wire.read()
    assert got.status == 503
    assert got.json()["problems"] == ["the proxy is about to end"]


def is_refused(portal: Portal) -> bool:
    try:
        RawConnection(portal.public).__exit__()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_only_the_machines_own_names_are_answered_and_nothing_is_logged(
    gina: Portal, path: str
) -> None:
    assert ask(gina, path, "evil.example").code == "misdirected"
    assert ask(gina, path, f"127.0.0.1:{gina.owner}").status == 200
    gina.settled_log()
    assert [each["code"] for each in gina.lines(listener="owner", path=path)] == ["misdirected"]


def test_no_status_depends_on_an_app(gina: Portal, app: Recorder) -> None:
    app.__exit__()
    assert exchange(gina.public, get(gina)).status == 502
    assert ask(gina, "/readyz").status == 200
    assert told(gina, "ready") == 1


@pytest.fixture
def several(gina: Portal) -> Portal:
    gina.stop()
    gina.workers = WORKERS
    gina.start()
    eventually(lambda: told(gina, "workers_serving") == WORKERS)
    return gina


def test_any_worker_tells_the_numbers_of_all_and_of_those_that_were_killed(
    several: Portal,
) -> None:
    def counted() -> float:
        return told(several, "requests_total", app="site", status="2xx")

    for _ in range(MANY):
        assert exchange(several.public, get(several)).status == 200
    eventually(lambda: counted() == MANY)
    assert {counted() for _ in range(MANY)} == {MANY}
    before = workers_of(several)
    for process in before:
        os.kill(process, signal.SIGKILL)
    eventually(lambda: len({*workers_of(several)} - {*before}) == WORKERS)
    assert exchange(several.public, get(several)).status == 200
    eventually(lambda: counted() == MANY + 1)
    assert {counted() for _ in range(MANY)} == {MANY + 1}


def test_health_is_quick_with_several_workers_too(several: Portal) -> None:
    folder = {"PORTAL_CONFIG": str(several.config)}
    eventually(lambda: quick_health(["health"], folder) == 0)


def test_what_runs_in_other_workers_is_told_too(several: Portal, app: Recorder) -> None:
    app.script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    with RawConnection(several.public) as wire:
        wire.send(get(several))
        wire.until(b"ab")
        eventually(lambda: {told(several, "running", kind="stream") for _ in range(MANY)} == {1.0})
    eventually(lambda: {told(several, "running") for _ in range(MANY)} == {0.0})
