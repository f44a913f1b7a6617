"""Datasette (ASGI, under uvicorn, its own server): tables to browse, filter, page and stream."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.more.apps.stage import App, Both, Stage, manifest
from tests.more.browser import Browser, eventually
from tests.wire.harness.raw import RawConnection, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.wire.harness.portals import Portal

pytestmark = pytest.mark.more

_MOMENT = re.compile(rb"(?<=query_ms\": )[0-9.]+|(?<=Queries took )[0-9.]+")
_ROWS = 20_000
_PAGE = "/birds/sightings"
_LOADED = "return performance.getEntriesByType('resource').map((e) => [e.name, e.responseStatus])"
_LINKS = "[...document.links]"
_FACET = "return document.querySelector('#facet-kind')?.innerText"
_HEADING = "return document.querySelector('h1').innerText"
_COUNT = "return document.querySelector('h3')?.innerText"
_FIRST = "return document.querySelector('table.rows-and-columns td').innerText"


@pytest.fixture(scope="module")
def app(stage: Stage) -> App:
    """Datasette over an open database and a closed one."""
    files = [stage.folder / "birds.db", stage.folder / "closed.db"]
    with closing(sqlite3.connect(files[0])) as db, db:
        db.execute("CREATE TABLE sightings (id INTEGER PRIMARY KEY, kind TEXT, note TEXT)")
        rows = (
            (("Wren", "K\xe4uzchen", "Rook <i>")[n % 3], f"note {n}, " + "\xe4" * 40)
            for n in range(_ROWS)
        )
        db.executemany("INSERT INTO sightings (kind, note) VALUES (?, ?)", rows)
    with closing(sqlite3.connect(files[1])) as db, db:
        db.execute("CREATE TABLE diary (id INTEGER PRIMARY KEY, entry TEXT)")
        db.execute("INSERT INTO diary (entry) VALUES ('nobody may read this')")
    # Its own limits, of 50 ms and more, are for a machine that has nothing else to do.
    limits = ("sql_time_limit_ms", "facet_time_limit_ms", "facet_suggest_time_limit_ms")
    settings = {"max_csv_mb": "0", **dict.fromkeys(limits, "60000")}
    said = (word for name, value in settings.items() for word in ("--setting", name, value))
    return stage.run(
        "datasette", "datasette", "serve", *files, "--host=127.0.0.1", "--port={port}", *said
    )


@pytest.fixture(scope="module")
def portal(stage: Stage, app: App) -> Portal:
    portal = stage.portal("Ada")
    portal.add_app("data", manifest(rest="public", closed="private"), app.port)
    public = {"birds": "public", "-/static": "public"}
    portal.add_app("listed", manifest(rest="private", **public), app.port)
    return portal.start()


@pytest.fixture
def both(app: App, portal: Portal) -> Both:
    return Both(app, portal, "data", _MOMENT)


@pytest.fixture
def http(both: Both) -> Iterator[httpx.Client]:
    """httpx, which finds the Portal by its own name."""
    base = f"http://127.0.0.1:{both.portal.public}"
    with httpx.Client(base_url=base, headers={"Host": both.host}, trust_env=False) as http:
        yield http


def test_a_browser_follows_its_links(
    both: Both, browser: Browser, say: Callable[[str], None]
) -> None:
    browser.open(f"http://{both.host}/")
    for link, heading in (("birds", "birds"), ("sightings", "sightings")):
        browser.run(f"{_LINKS}.find((a) => a.innerText === '{link}').click()")
        assert eventually(lambda: browser.run(_HEADING) == heading)  # noqa: B023 - asked at once
    assert eventually(lambda: "20,000 rows" in browser.run(_COUNT))

    browser.run(f"{_LINKS}.find((a) => a.href.includes('_facet=kind')).click()")
    assert eventually(lambda: browser.run(_FACET))
    browser.run(f"{_LINKS}.find((a) => a.innerText === 'K\xe4uzchen').click()")
    assert eventually(lambda: "6,667 rows" in (browser.run(_COUNT) or ""))
    first = eventually(lambda: browser.run(_FIRST))
    browser.run(f"{_LINKS}.find((a) => a.innerText === 'Next page').click()")
    assert eventually(lambda: browser.run(_FIRST) != first)

    where = browser.run("return location.href")
    loaded = eventually(lambda: browser.run(_LOADED))
    say(f"Chromium: a table, a facet and its next page; {where}")
    assert where.startswith(f"http://{both.host}/birds/sightings?")
    assert loaded
    assert all(name.startswith(f"http://{both.host}/") and status == 200 for name, status in loaded)


def test_every_row_streams_as_csv(
    http: httpx.Client, both: Both, say: Callable[[str], None]
) -> None:
    direct = httpx.get(
        f"http://{both.app.authority}{_PAGE}.csv?_stream=on&_size=max", trust_env=False, timeout=60
    )

    with http.stream("GET", f"{_PAGE}.csv?_stream=on&_size=max", timeout=60) as response:
        pieces = list(response.iter_bytes())

    say(f"httpx: {_ROWS} rows of CSV in {len(pieces)} pieces")
    assert response.headers["transfer-encoding"] == "chunked"
    assert b"".join(pieces) == direct.content
    assert direct.text.count("\n") == _ROWS + 1


def test_a_client_that_leaves_ends_the_stream(both: Both) -> None:
    with RawConnection(both.portal.public) as wire:
        wire.send(request("GET", f"{_PAGE}.csv?_stream=on&_size=max", ("Host", both.host)))
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")

    assert both.ask("GET", "/-/versions.json").status == 200


def test_pages_lead_to_pages_under_the_portals_name(http: httpx.Client, both: Both) -> None:
    """Datasette makes absolute URLs of Host."""
    seen = []
    target: str | None = f"{_PAGE}.json?_size=1000&_shape=objects&kind=Wren"
    while target is not None:
        page = http.get(target).json()
        seen += [row["id"] for row in page["rows"]]
        target = page["next_url"]
        if target is not None:
            assert target.startswith(f"http://{both.host}/")
            target = target.removeprefix(f"http://{both.host}")

    assert seen == list(range(1, _ROWS + 1, 3))


@pytest.mark.parametrize(
    ("method", "target", "fields", "status"),
    [
        ("GET", "/", (), 200),
        ("GET", "/birds", (), 200),
        ("GET", "/birds/", (), 302),
        ("GET", _PAGE, (), 200),
        ("HEAD", _PAGE, (), 200),
        ("GET", f"{_PAGE}?kind=K%C3%A4uzchen&_facet=kind&_size=5", (), 200),
        ("GET", f"{_PAGE}?note__contains=%00%22%3Cscript%3E", (), 200),
        ("GET", f"{_PAGE}.json?_size=2&_shape=array", (), 200),
        ("GET", f"{_PAGE}/1.json", (), 200),
        ("GET", f"{_PAGE}.csv?_size=3", (), 200),
        ("GET", "/birds.json?sql=select+1", (), 200),
        ("GET", "/birds?sql=drop+table+sightings", (), 400),
        ("GET", "/-/static/app.css", (), 200),
        ("GET", "/-/static/none.css", (), 404),
        ("GET", "//birds", (), 404),
        ("GET", "/birds/K%C3%A4uzchen%2F1", (), 302),
        ("GET", "/birds/a;b=c", (), 404),
        ("OPTIONS", "/birds", (), 200),
        ("DELETE", "/birds", (), 405),
    ],
)  # fmt: skip
def test_a_response_is_the_same_to_the_byte(
    both: Both, method: str, target: str, fields: tuple[tuple[str, str], ...], status: int
) -> None:
    got = both.alike(method, target, *fields)

    assert got.status == status


def test_the_app_knows_that_its_visitors_come_by_https(stage: Stage, both: Both) -> None:
    """Its own way here is plain http; uvicorn is told by X-Forwarded-Proto."""
    behind_tls = stage.portal("Tess")
    file = behind_tls.config / "portal.yaml"
    file.write_text(file.read_text().replace("public_url: http:", "public_url: https:"))
    behind_tls.add_app("data", manifest(rest="public"), both.app.port)
    behind_tls.start()

    page = Both(both.app, behind_tls, "data").ask("GET", f"{_PAGE}.json?_size=1")

    host = behind_tls.app_host("data")
    assert page.json()["next_url"].startswith(f"https://{host}{_PAGE}.json?")


def test_nobody_tells_the_app_that_he_came_by_another_scheme_or_host(both: Both) -> None:
    """uvicorn believes these of whoever connects from this machine, as the proxy does."""
    claims = (
        ("X-Forwarded-Proto", "ftp"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "host=evil.example;proto=ftp;for=192.0.2.1"),
    )

    page = both.ask("GET", f"{_PAGE}.json?_size=1", *claims)

    assert page.json()["next_url"].startswith(f"http://{both.host}{_PAGE}.json?")
    assert "192.0.2.1" not in both.app.log


def test_strangers_dont_get_into_the_closed_database(both: Both) -> None:
    for target in (
        "/closed", "/closed.json?sql=select+*+from+diary", "/closed/diary.json", "/CLOSED/diary",
        "//closed/diary", "/%63losed/diary", "/closed%2Fdiary", "/closed;/diary", "/closed.db",
    ):  # fmt: skip
        got = both.ask("GET", target)
        assert (got.status, got.code) == (401, "proof_required"), target


def test_an_apps_own_escapes_lead_past_a_list_of_what_is_private_not_of_what_is_public(
    both: Both, portal: Portal
) -> None:
    """Datasette reads ``~63`` as ``c``; no proxy knows every app's ways to write a name.

    docs/for-app-authors.md says so: only a list of what is public holds against such a spelling.
    """
    listed = Both(both.app, portal, "listed")
    spelled = "/~63losed/diary.json"

    assert b"nobody may read" in both.ask("GET", spelled).body
    assert listed.ask("GET", spelled).code == "proof_required"
    assert listed.ask("GET", f"{_PAGE}.json").status == 200
    for target in ("/birds/~2E~2E/closed/diary.json", "/birds~2F~2E~2E~2Fclosed/diary.json",
                   "/birds/../closed", "/~62irds", "/", "/-/databases.json"):  # fmt: skip
        assert listed.ask("GET", target).status in (400, 401, 404), target
        assert b"nobody" not in listed.ask("GET", target).body
