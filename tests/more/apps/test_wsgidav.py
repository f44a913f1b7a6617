"""wsgidav (WSGI, under cheroot, its own server): files by WebDAV, with every method it has."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.more.apps.stage import NAMES, App, Behind, Both, Stage, manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.wire.harness.portals import Portal

pytestmark = pytest.mark.more

_DEPTH = ("Depth", "1")
_OUTCOME = re.compile(r"^ *[0-9]+\. (?P<test>[a-z0-9_]+)\.* (?P<outcome>pass|FAIL|SKIPPED|WARN)")
_MOMENT = re.compile(
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]{15}|(?<=-bytes>)[0-9]+(?=</D:quota-)"
    rb"|(?<=</a> - )[A-Za-z0-9 ,:]{25} GMT"  # below a folder's page
)
_CLOSED = (
    "/closed/",
    "/closed/secret.txt",
    "/CLOSED/secret.txt",
    "//closed/secret.txt",
    "/%63losed/secret.txt",
    "/closed%2Fsecret.txt",
    "/closed;x/secret.txt",
)
_PROPERTIES = b'<?xml version="1.0"?><propfind xmlns="DAV:"><allprop/></propfind>'


def _start(stage: Stage, name: str) -> App:
    """Run wsgidav over a folder with a public and a closed part."""
    root = stage.folder / name
    for path, text in {
        "closed/secret.txt": "secret",
        "a.txt": "0123456789" * 1000,
        "Gr\xfc\xdfe & more; 100%.txt": "odd",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    settings = {
        "provider_mapping": {"/": str(root)},
        "simple_dc": {"user_mapping": {"*": True}},
        "property_manager": True,
        "lock_storage": True,
    }
    config = stage.folder / f"{name}.json"
    config.write_text(json.dumps(settings), "utf-8")
    return stage.run(name, "wsgidav", "--host=127.0.0.1", "--port={port}", f"--config={config}")


@pytest.fixture(scope="module")
def app(stage: Stage) -> App:
    return _start(stage, "behind")


@pytest.fixture(scope="module")
def portal(stage: Stage, app: App) -> Portal:
    portal = stage.portal("Carla")
    portal.add_app("files", manifest(rest="public", closed="private"), app.port)
    portal.add_app("open", manifest(rest="public"), app.port)
    return portal.start()


@pytest.fixture
def both(app: App, portal: Portal) -> Both:
    return Both(app, portal, "files", _MOMENT)


@pytest.fixture(scope="module")
def alone(stage: Stage) -> App:
    """The same app, with other files and nothing in front of it."""
    return _start(stage, "alone")


@pytest.fixture
def files(stage: Stage) -> Path:
    return stage.folder / "behind"


def _suite(stage: Stage, authority: str) -> dict[str, str]:
    """Run litmus; return each test's outcome."""
    folder = stage.folder / "litmus"
    folder.mkdir(exist_ok=True)
    host = authority.partition(":")[0]
    said = stage.say("litmus", "-k", f"http://{authority}/", **stage.names(host))
    found: dict[str, str] = {}
    suite = ""
    for line in re.split(r"[\r\n]+", said):
        if running := re.match(r"-> running `(?P<suite>\w+)'", line):
            suite = running["suite"]
        if outcome := _OUTCOME.match(line):
            found[f"{suite} {line.split('.')[0].strip()} {outcome['test']}"] = outcome["outcome"]
    return found


@pytest.mark.skipif(
    shutil.which("litmus") is None or not NAMES.exists(), reason="no litmus and libnss-wrapper here"
)
def test_the_suite_for_webdav_servers_finds_the_same(
    stage: Stage, both: Both, alone: App, say: Callable[[str], None]
) -> None:
    direct = _suite(stage, alone.authority)
    proxied = _suite(stage, both.host)

    say(f"litmus: {len(proxied)} tests, {list(proxied.values()).count('pass')} pass")
    assert len(direct) > 90
    assert proxied == direct
    assert set(proxied.values()) == {"pass"}


def test_a_client_copies_moves_and_locks_as_without_the_proxy(
    stage: Stage, both: Both, alone: App, say: Callable[[str], None]
) -> None:
    direct = stage.client("dav_client.py", f"http://{alone.authority}")
    proxied = stage.client("dav_client.py", f"http://{both.host}")

    say(f"webdavclient3: {len(proxied['exchanges'])} exchanges, as without the proxy")
    assert proxied == direct
    assert {"PROPPATCH", "COPY", "MOVE", "LOCK", "UNLOCK"} <= {
        way[0] for way in proxied["exchanges"]
    }
    assert proxied["saw"]["property of the copy"] == "red & <green>"
    assert proxied["saw"]["locked for others"] == "ResourceLocked"
    assert proxied["saw"]["read"] == "free again"


@pytest.mark.parametrize(
    ("method", "target", "fields", "body", "status"),
    [
        ("OPTIONS", "/", (), None, 200),
        ("GET", "/a.txt", (), None, 200),
        ("HEAD", "/a.txt", (), None, 200),
        ("GET", "/a.txt", (("Range", "bytes=10-19"),), None, 206),
        ("GET", "/a.txt", (("Range", "bytes=-5"),), None, 206),
        ("GET", "/a.txt", (("Range", "bytes=99999-"),), None, 416),
        ("GET", "/", (), None, 200),
        ("GET", "/missing", (), None, 404),
        ("GET", "/Gr%C3%BC%C3%9Fe%20%26%20more%3B%20100%25.txt", (), None, 200),
        ("GET", "/gr%c3%bc%c3%9fe%20&%20more;%20100%25.txt", (), None, 404),
        ("PROPFIND", "/a.txt", (_DEPTH,), None, 207),
        ("PROPFIND", "/", (("Depth", "infinity"),), _PROPERTIES, 207),
        ("PROPFIND", "/", (_DEPTH,), b"<not xml", 400),
        ("PUT", "/nowhere/x", (), b"x", 409),
        ("MKCOL", "/a.txt", (), None, 405),
        ("POST", "/a.txt", (), b"x", 405),
        ("BREW", "/a.txt", (), None, 405),
    ],
)
def test_a_response_is_the_same_to_the_byte(
    both: Both, method: str, target: str, fields: tuple[tuple[str, str], ...],
    body: bytes | None, status: int,
) -> None:  # fmt: skip
    got = both.alike(method, target, *fields, body=body)

    assert got.status == status


def test_a_file_of_64_mib_goes_in_and_out(both: Both, files: Path) -> None:
    body = bytes(range(256)) * (64 * 4096)

    assert both.ask("PUT", "/big", body=body).status == 201
    assert both.ask("GET", "/big").body == body
    assert (files / "big").read_bytes() == body


def test_strangers_dont_get_into_the_private_part(both: Both, files: Path) -> None:
    for method in ("GET", "PROPFIND", "DELETE", "MOVE", "COPY", "LOCK", "OPTIONS"):
        for target in _CLOSED:
            destination = ("Destination", f"http://{both.host}/mine")
            got = both.ask(method, target, destination)
            assert (got.status, got.code) == (401, "proof_required"), (method, target)
    assert (files / "closed" / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_a_destination_in_the_private_part_is_judged_like_a_target(
    both: Both, files: Path, method: str
) -> None:
    """RFC 4918, 10.3: ``Destination`` is a second target, which is written to."""
    (files / "planted.txt").write_text("planted")

    got = both.ask(
        method, "/planted.txt", ("Destination", f"http://{both.host}/closed/planted.txt")
    )

    assert (got.status, got.code) == (401, "proof_required")
    assert not (files / "closed" / "planted.txt").exists()


def test_a_destination_elsewhere_is_refused(both: Both, files: Path) -> None:
    got = both.ask("COPY", "/a.txt", ("Destination", "http://elsewhere.example/b.txt"))

    assert (got.status, got.code) == (400, "bad_field")
    assert not (files / "b.txt").exists()


def test_where_all_is_public_a_destination_elsewhere_is_for_the_app_to_refuse(
    app: App, portal: Portal
) -> None:
    both = Both(app, portal, "open", _MOMENT)

    got = both.alike("COPY", "/a.txt", ("Destination", "http://elsewhere.example/b.txt"))

    assert got.status == 502


def test_the_app_says_nothing_of_where_it_really_is(both: Both) -> None:
    page = both.ask("GET", "/").body
    listing = both.ask("PROPFIND", "/", _DEPTH).body

    assert b"<D:href>/a.txt</D:href>" in listing
    assert str(both.app.port).encode() not in page + listing


@pytest.fixture(scope="module")
def peers(stage: Stage) -> tuple[Behind, str]:
    """A Portal with the app, and the proxy by which a peer's app calls it."""
    behind = stage.behind(_start(stage, "peers"), {"": "peer", "/closed/": "private"}, name="dav")
    return behind, stage.caller(behind)


@pytest.mark.parametrize("more", [(), ("--proxytunnel",)], ids=["proxy", "tunnel"])
@pytest.mark.parametrize("authority", ["{host}", "{host}:80", "{host}:{port}"])
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_a_peer_copies_and_moves_whatever_port_it_writes(
    stage: Stage, peers: tuple[Behind, str], method: str, authority: str, more: tuple[str, ...]
) -> None:
    """The server compares ``Destination`` with its Host, scheme and port included."""
    behind, proxy = peers
    host, _, port = behind.portal.app_host("dav").partition(":")
    files = stage.folder / "peers"
    (files / "from.txt").write_text("moved", "utf-8")
    (files / "to.txt").unlink(missing_ok=True)
    to = "Destination: http://" + authority.format(host=host, port=port) + "/to.txt"
    asked = ["-x", proxy, *more, "-X", method, "-H", to, f"http://{host}/from.txt"]
    told = ["-o", "/dev/null", "-w", "%{http_code}"]

    assert stage.say("curl", "-sS", *told, *asked) == "201"

    assert (files / "to.txt").read_text("utf-8") == "moved"
    assert (files / "from.txt").exists() == (method == "COPY")


@pytest.mark.parametrize("at", ["http://portal_core", "http://Portal_Core:80", ""])
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_a_peer_copies_and_moves_by_path(
    stage: Stage, peers: tuple[Behind, str], method: str, at: str
) -> None:
    """Its client names the second target as it names the first."""
    behind, proxy = peers
    below = f"/internal/call_peer/{behind.portal.id[:6]}"
    files = stage.folder / "peers"
    (files / "from.txt").write_text("moved", "utf-8")
    (files / "to.txt").unlink(missing_ok=True)
    asked = ["-x", proxy, "-X", method, "-H", f"Destination: {at}{below}/to.txt"]
    told = ["-o", "/dev/null", "-w", "%{http_code}"]

    said = stage.say("curl", "-sS", *told, *asked, f"http://portal_core{below}/from.txt")

    assert said == "201"
    assert (files / "to.txt").read_text("utf-8") == "moved"
    assert (files / "from.txt").exists() == (method == "COPY")
