"""Apps that are added, changed and removed while the proxy is under load."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import soon
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import LOOPBACK, Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import new_key, sign_call

SOON = 1.2
"""Seconds: within one, and what a busy machine takes to ask."""
FLIPS = 6


@pytest.fixture
def gina(tmp_path: Path) -> Iterator[Portal]:
    """A Portal that isn't running yet."""
    portal = Portal(tmp_path / "gina", "Gina")
    (portal.config / "apps").mkdir()
    yield portal
    portal.release()


class Version:
    """One version of an app: its files, and where it runs. ``X-Version`` tells the two apart."""

    def __init__(self, folder: Path, name: str, app: Recorder, access: str = "public") -> None:
        self.name = name
        self.app = app
        self.folder = folder / name
        self.folder.mkdir()
        rule = {"access": access, "headers": {"X-Version": name}}
        manifest = {"v": "3.2", "port": 1, "paths": {"": rule}}
        (self.folder / "app.json").write_text(json.dumps(manifest))
        (self.folder / "proxy.yaml").write_text(f"upstream: http://{LOOPBACK}:{app.port}\n")

    def put(self, portal: Portal) -> None:
        """Make it the app ``site``, all of its files at one moment."""
        link = portal.config / "apps" / ".new"
        link.symlink_to(self.folder)
        link.rename(portal.config / "apps" / "site")

    def was_alone(self) -> bool:
        """Tell whether its app got what was judged by its rules, and nothing else."""
        return {tuple(got.all("x-version")) for got in self.app.requests} <= {(self.name.encode(),)}


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[tuple[Version, Version]]:
    with Recorder() as one, Recorder() as two:
        yield (
            Version(tmp_path, "one", one),
            Version(tmp_path, "two", two),
        )


def ask(portal: Portal, app: str = "site") -> Raw:
    return exchange(portal.public, request("GET", "/", ("Host", portal.app_host(app))))


@contextmanager
def visitors(visit: Callable[[], None], count: int = 3) -> Iterator[None]:
    """Visit again and again from several threads; what fails there fails the test."""
    stop, failures, visits = threading.Event(), list[BaseException](), [0]

    def work() -> None:
        while not stop.is_set():
            try:
                visit()
                visits[0] += 1
            except BaseException as error:  # noqa: BLE001 - a thread's, raised below
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
        eventually(lambda: visits[0] > 20 or failures)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


@pytest.mark.more
def test_a_changed_app_is_followed_under_load_and_no_request_is_lost_or_of_two_moments(
    gina: Portal, versions: tuple[Version, Version]
) -> None:
    versions[0].put(gina)
    gina.start()

    def visit() -> None:
        with RawConnection(gina.public) as wire:
            for _ in range(20):
                wire.send(request("GET", "/", ("Host", gina.app_host("site"))))
                got = wire.read()
                assert (got.status, got.body) == (200, b"ok")

    with visitors(visit):
        for turn in range(1, FLIPS + 1):
            version = versions[turn % 2]
            version.app.clear()
            version.put(gina)
            assert eventually(lambda: version.app.requests) < soon(SOON)  # noqa: B023 - asked at once
    assert all(version.was_alone() for version in versions)


def test_a_request_goes_where_the_rules_led_that_let_it_in(
    gina: Portal, versions: tuple[Version, Version]
) -> None:
    one, two = versions
    cleo = new_key()
    gina.knows(contact(cleo.public.portal_id, "Cleo", 9, 9), apps={"site": "all"})
    one.put(gina)
    gina.start()
    held = sign_call(cleo, gina, "site", method=b"POST", body=b"abcd").raw
    head = request("POST", "/", ("Host", gina.app_host("site")), ("Content-Length", "4"))
    with RawConnection(gina.public) as signed, RawConnection(gina.public) as streamed:
        signed.send(held[:-2])
        streamed.send(head + b"ab")
        eventually(lambda: one.app.received.endswith(b"ab"))

        two.put(gina)
        eventually(lambda: ask(gina).status == 200 and two.app.requests)
        two.app.clear()
        signed.send(held[-2:])
        streamed.send(b"cd")

        assert signed.read().status == streamed.read().status == 200
    assert [got.body for got in one.app.requests if got.body] == [b"abcd"] * 2
    assert two.app.requests == []
    assert one.was_alone()


def test_an_app_that_is_removed_loses_what_it_began_and_others_go_on(
    gina: Portal, versions: tuple[Version, Version]
) -> None:
    one, two = versions
    one.put(gina)
    gina.add_app("other", SITE, two.app.port)
    gina.start()

    def visit() -> None:
        assert ask(gina, "other").status == 200

    with visitors(visit), RawConnection(gina.public) as running:
        fields = (("Host", gina.app_host("site")), ("Content-Length", "4"))
        running.send(request("POST", "/", *fields) + b"ab")
        eventually(lambda: one.app.received.endswith(b"ab"))
        (gina.config / "apps" / "site").unlink()
        assert eventually(lambda: ask(gina).status == 404) < soon(SOON)
        assert running.read().code == "no_such_app"
        assert not any(got.body for got in one.app.requests)
        assert ask(gina).code == "no_such_app"
        one.put(gina)
        assert eventually(lambda: ask(gina).status == 200) < soon(SOON)
        gina.add_app("third", SITE, two.app.port)
        assert eventually(lambda: ask(gina, "third").status == 200) < soon(SOON)
        shutil.rmtree(gina.config / "apps" / "third")
        assert eventually(lambda: ask(gina, "third").status == 404) < soon(SOON)


def test_a_file_that_breaks_leaves_the_last_good_one_in_use_under_load(
    gina: Portal, versions: tuple[Version, Version]
) -> None:
    one, two = versions
    one.put(gina)
    gina.start()

    def visit() -> None:
        assert ask(gina).status == 200

    with visitors(visit):
        (one.folder / "app.json").write_text('{"v": "3.2", "paths": {"": ')
        (one.folder / "proxy.yaml").write_text("upstream: nowhere\n")
        eventually(lambda: len(gina.lines(level="error")) >= 2)
        checked = gina.command("check")
        assert checked.returncode == 1
        for problem in ("app.json: line 1", "proxy.yaml: upstream: expected http://"):
            assert problem in checked.stdout
            assert sum(problem in line["message"] for line in gina.lines(level="error")) == 1
        (one.folder / "app.json").unlink()
        two.put(gina)
        assert eventually(lambda: two.app.requests) < soon(SOON)
    assert one.was_alone()
    assert two.was_alone()


def test_rules_that_close_a_path_hold_within_a_second(
    gina: Portal, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    one, _ = versions
    closed = Version(tmp_path, "closed", one.app, access="private")
    one.put(gina)
    gina.start()
    assert ask(gina).status == 200
    closed.put(gina)
    assert eventually(lambda: ask(gina).status == 401) < soon(SOON)
