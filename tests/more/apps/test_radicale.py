"""Radicale (WSGI, under its own server): calendars by CalDAV, for strangers and for a peer."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from tests.more.apps.stage import App, Both, Stage, manifest
from tests.wire.harness.raw import exchange, request
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.access.policy import Mode
    from tests.wire.harness.portals import Portal

pytestmark = pytest.mark.more

_OF_PEERS = json.dumps(
    {
        "v": "3.2",
        "port": 80,
        "paths": {"": {"access": "peer", "headers": {"X-Remote-User": "{{ auth.client_name }}"}}},
    }
)
"""Radicale takes the name of its user from the proxy: no accounts, no passwords."""
_AUTH = ("Authorization", "Basic " + base64.b64encode(b"carol:pass word").decode())
_WHO = b"""<?xml version="1.0"?>
<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>"""


def _start(stage: Stage, name: str, *auth: str) -> App:
    lines = ["[storage]", f"filesystem_folder={stage.folder / name}", "[auth]", *auth, ""]
    config = stage.folder / f"{name}.ini"
    config.write_text("\n".join(lines), "utf-8")
    options = (f"--config={config}", "--server-hosts=127.0.0.1:{port}")
    return stage.run(name, "python", "-m", "radicale", *options)


def _with_passwords(stage: Stage, name: str) -> App:
    users = stage.folder / "users"
    users.write_text("carol:pass word\n", "utf-8")
    file = f"htpasswd_filename={users}"
    return _start(stage, name, "type=htpasswd", file, "htpasswd_encryption=plain")


@pytest.fixture(scope="module")
def app(stage: Stage) -> App:
    return _with_passwords(stage, "behind")


@pytest.fixture(scope="module")
def portal(stage: Stage, app: App) -> Portal:
    portal = stage.portal("Bob")
    portal.add_app("calendar", manifest(**{"rest": "public", ".web": "private"}), app.port)
    of_peers = _start(stage, "of-peers", "type=http_x_remote_user")
    portal.add_app("shared", _OF_PEERS, of_peers.port)
    return portal


@pytest.fixture(scope="module")
def ada(stage: Stage, portal: Portal) -> Portal:
    """Ada's Portal, from which the app ``shared`` calls Bob's."""
    ada = stage.portal("Ada")
    ada.add_app("shared", _OF_PEERS, 9)
    portal.knows(ada.as_contact(), apps={"shared": "all"})
    portal.start()
    ada.knows(portal.as_contact(mode="sealed"), apps={"shared": "all"})
    return ada.start()


@pytest.fixture
def both(app: App, portal: Portal, ada: Portal) -> Both:
    del ada
    return Both(app, portal, "calendar")


def test_a_calendar_client_works_as_without_the_proxy(
    stage: Stage, both: Both, say: Callable[[str], None]
) -> None:
    alone = _with_passwords(stage, "alone")
    user = ("carol", "pass word")

    direct = stage.client("caldav_client.py", f"http://{alone.authority}/", *user)
    proxied = stage.client("caldav_client.py", f"http://{both.host}/", *user)

    methods = {method for method, _ in proxied["exchanges"]}
    say(f"caldav: {len(proxied['exchanges'])} exchanges ({', '.join(sorted(methods))})")
    assert proxied == direct
    assert {"PROPFIND", "MKCALENDAR", "PUT", "REPORT", "PROPPATCH", "DELETE"} <= methods
    assert proxied["saw"]["early"] == ["Dentist", "K\xe4sefondue <3"]
    assert proxied["saw"]["changed"] == ["Dentist, later"]
    assert proxied["saw"]["left"] == 0


@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_a_calendar_client_works_between_portals(
    stage: Stage, portal: Portal, ada: Portal, mode: Mode, say: Callable[[str], None]
) -> None:
    """The client is an app of Ada's: it knows HTTP_PROXY and Bob's URL, and no password."""
    known = ada.log.count("the contact list changed")
    ada.knows(portal.as_contact(mode=mode), apps={"shared": "all"})
    eventually(lambda: ada.log.count("the contact list changed") > known)
    proxy = f"http://shared:{ada.token('shared')}@127.0.0.1:{ada.apps}"

    called = stage.client(
        "caldav_client.py", f"http://{portal.app_host('shared')}/", HTTP_PROXY=proxy
    )

    say(f"caldav, {mode} from Ada to Bob: {len(called['exchanges'])} exchanges")
    assert called["saw"]["principal"] == "/Ada/"
    assert called["saw"]["calendar"] == "/Ada/plans/"
    assert called["saw"]["early"] == ["Dentist", "K\xe4sefondue <3"]
    assert called["saw"]["left"] == 0
    assert max(status for _, status in called["exchanges"]) < 500


def test_nobody_gives_himself_another_name(portal: Portal, ada: Portal) -> None:
    """The field by which Radicale knows its user is the proxy's alone."""
    for name in ("X-Remote-User", "x_remote_user", "X.Remote-User"):
        fields = (("Host", "x"), ("Portal-Token", ada.token("shared")), (name, "Bob"))
        path = f"/internal/call_peer/{portal.id}/"
        got = exchange(ada.apps, request("PROPFIND", path, *fields, ("Depth", "0"), body=_WHO))

        assert got.status == 207
        assert b"<href>/Ada/</href>" in got.body
        assert b"Bob" not in got.body


def test_the_path_form_needs_a_client_that_knows_its_prefix(portal: Portal, ada: Portal) -> None:
    """An app answers with paths of its own. A field that gives it others reaches none."""
    fields = (("Host", "x"), ("Portal-Token", ada.token("shared")), ("Depth", "0"))
    path = f"/internal/call_peer/{portal.id[:8]}"

    bare = exchange(ada.apps, request("PROPFIND", f"{path}/", *fields, body=_WHO))
    told = exchange(
        ada.apps, request("PROPFIND", f"{path}/", *fields, ("X-Script-Name", path), body=_WHO)
    )

    assert b"<href>/Ada/</href>" in bare.body
    assert told.body == bare.body


@pytest.mark.parametrize(
    ("method", "target", "fields", "body", "status"),
    [
        ("GET", "/", (), None, 302),
        ("GET", "/.well-known/caldav", (), None, 301),
        ("PROPFIND", "/", (("Depth", "0"),), _WHO, 401),
        ("PROPFIND", "/", (("Depth", "0"), _AUTH), _WHO, 207),
        ("PROPFIND", "/carol/", (("Depth", "1"), _AUTH), None, 207),
        ("PROPFIND", "/carol/", (("Depth", "1"), _AUTH, ("Accept-Encoding", "gzip")), None, 207),
        ("OPTIONS", "/carol/", (), None, 200),
        ("REPORT", "/carol/", (_AUTH,), b"<x/>", 207),
        ("GET", "/carol/none.ics", (_AUTH,), None, 404),
        ("HEAD", "/carol/", (_AUTH,), None, 403),
        ("MKCALENDAR", "/other/x/", (_AUTH,), b"", 403),
        ("PUT", "/carol/x", (_AUTH,), b"no calendar", 400),
        ("BREW", "/", (_AUTH,), None, 405),
    ],
)
def test_a_response_is_the_same_to_the_byte(
    both: Both, method: str, target: str, fields: tuple[tuple[str, str], ...],
    body: bytes | None, status: int,
) -> None:  # fmt: skip
    got = both.alike(method, target, *fields, body=body)

    assert got.status == status


def test_strangers_dont_get_its_pages(both: Both) -> None:
    for target in (
        "/.web",
        "/.web/",
        "/.Web/index.html",
        "/%2eweb/",
        "//.web/",
        "/.web%2Findex.html",
    ):
        got = both.ask("GET", target, _AUTH)
        assert (got.status, got.code) == (401, "proof_required"), target
