"""From the start of ``serve`` to its end: what it won't start with, follows, and how it stops."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE, soon
from tests.wire.conftest import World
from tests.wire.harness.portals import Portal, end, wait_for_ports
from tests.wire.harness.raw import LOOPBACK, Raw, RawConnection, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually


def refused(portal: Portal) -> str:
    """Run ``serve``, which must end by itself with status 1; return what it said."""
    done = portal.command("serve")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def health(portal: Portal) -> Raw:
    return exchange(portal.owner, request("GET", "/health", ("Host", "localhost")))


def test_a_key_that_others_can_read_is_refused(gina: Portal) -> None:
    (gina.state / "identity.key").chmod(0o644)

    said = refused(gina)

    assert "identity.key" in said
    assert "0600" in said or "chmod" in said


def test_a_key_that_is_a_link_is_refused(gina: Portal) -> None:
    key = gina.state / "identity.key"
    key.rename(gina.state / "elsewhere.key")
    key.symlink_to(gina.state / "elsewhere.key")

    assert "symbolic link" in refused(gina)


def test_a_missing_key_is_refused_and_none_is_made(gina: Portal) -> None:
    (gina.state / "identity.key").unlink()

    assert "portal-proxy init" in refused(gina)
    assert not (gina.state / "identity.key").exists()


def test_a_broken_contact_list_at_the_start_is_refused(gina: Portal) -> None:
    (gina.state / "contacts.yaml").write_text("peers: [")

    assert "contacts.yaml" in refused(gina)


@pytest.mark.parametrize("name", ["public", "apps", "owner"])
def test_a_port_in_use_is_named(gina: Portal, name: str) -> None:
    port: int = getattr(gina, name)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, port))
        other.listen()

        said = refused(gina)

    assert f"the {name} listener" in said
    assert f"{LOOPBACK}:{port}" in said


def test_who_serves_twice_is_told_which_process_has_the_address(gina: Portal) -> None:
    gina.start()
    pid = gina._process.pid if gina._process is not None else 0

    assert f": process {pid} (" in refused(gina)


def test_it_stops_at_once_with_0_though_connections_are_open(gina: Portal) -> None:
    gina.start()
    with RawConnection(gina.public) as idle, RawConnection(gina.apps), RawConnection(gina.owner):
        idle.send(request("GET", "/", ("Host", gina.app_host("site"))))
        assert idle.read().status == 200
        start = time.monotonic()

        assert gina.stop() == 0

        assert time.monotonic() - start < soon(5)
    assert "Traceback" not in gina.log


def test_a_running_request_is_finished_first(gina: Portal, app: Recorder) -> None:
    gina.start()
    process = gina._process
    assert process is not None
    fields = (("Host", gina.app_host("site")), ("Content-Length", "4"))
    with RawConnection(gina.public) as wire:
        wire.send(request("POST", "/", *fields) + b"ab")
        eventually(lambda: app.received.endswith(b"ab"))
        process.terminate()
        eventually(lambda: not listens(gina.public))
        wire.send(b"cd")

        assert wire.read().body == b"ok"
    assert process.wait(PATIENCE) == 0
    assert app.request.body == b"abcd"


def listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_broken_contact_list_keeps_the_last_good_one_and_the_owner_is_told(gina: Portal) -> None:
    contacts = gina.state / "contacts.yaml"
    good = contacts.read_bytes()
    gina.start()
    told = health(gina).json()
    assert told.pop("tasks") > 1
    assert (told.pop("apps").keys(), told) == (
        {"site"},
        {
            "status": "ok",
            "id": gina.id,
            "problems": [],
            "waiting": {},
            "log": {"dropped": 0},
        },
    )

    # Whole at once: a look at a file that is half written would find another mistake.
    beside = contacts.with_name("contacts.new")
    beside.write_text("peers: [}")
    beside.chmod(0o600)
    beside.replace(contacts)
    eventually(lambda: health(gina).json()["status"] == "degraded")
    assert "contacts.yaml" in health(gina).json()["problems"][0]
    refused_change = gina.command("apps", "allow", "site", "all")
    assert refused_change.returncode == 1
    assert contacts.read_text() == "peers: [}"

    beside.write_bytes(good)
    beside.chmod(0o600)
    beside.replace(contacts)
    eventually(lambda: health(gina).json()["status"] == "ok")
    assert gina.log.count("the contact list is broken") == 1


def test_an_app_whose_files_are_wrong_is_left_out_and_the_others_served(gina: Portal) -> None:
    gina.add_app("broken", '{"v": "3.2", "paths": {"": {"access": "everybody"}}}', 9)
    gina.start()

    assert health(gina).json()["status"] == "degraded"
    assert exchange(gina.public, request("GET", "/", ("Host", gina.app_host("site")))).status == 200
    missing = exchange(gina.public, request("GET", "/", ("Host", gina.app_host("broken"))))
    assert missing.code == "no_such_app"


def test_the_owners_listener_answers_under_its_own_names_alone(gina: Portal) -> None:
    gina.start()
    for host in ("localhost", "LOCALHOST:1", f"127.0.0.1:{gina.owner}", "[::1]"):
        assert exchange(gina.owner, request("GET", "/health", ("Host", host))).status == 200
    foreign = ("evil.example", gina.host, f"evil.example:{gina.owner}", "localhost.evil.example")
    unreadable = ("", "evil.example:", "evil.example:http", "evil/@localhost", "a.localhost")
    for host in (*foreign, *unreadable):
        got = exchange(gina.owner, request("GET", "/health", ("Host", host)))
        assert (got.status, got.code) == (421, "misdirected")


def test_a_peer_that_was_away_is_called_again(world: World) -> None:
    assert world.ask(world.bob.id, method="POST", body=b"1").status == 200
    world.bob.stop()
    assert world.ask(world.bob.id).code == "peer_unreachable"

    world.bob.start()

    assert world.ask(world.bob.id, method="POST", body=b"2").status == 200
    assert [raw.body for raw in world.bob_app.requests] == [b"1", b"2"]


def test_apps_can_reach_it_by_a_socket_file(gina: Portal) -> None:
    yaml = gina.config / "portal.yaml"
    usual = f'"127.0.0.1:{gina.apps}"'
    yaml.write_text(yaml.read_text().replace(usual, "unix:apps.sock"))
    process = gina.launch()
    wait_for_ports(process, gina.public, gina.owner, log=gina.log_file)
    path = gina.config / "apps.sock"
    eventually(path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(request("GET", "/public/meta/whoareyou", ("Host", "x")))
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")

    assert end(process) == 0


@pytest.mark.more
def test_a_request_that_never_ends_doesnt_keep_it_running(gina: Portal) -> None:
    gina.start()
    with RawConnection(gina.public) as wire:
        fields = (("Host", gina.app_host("site")), ("Content-Length", "4"))
        wire.send(request("POST", "/", *fields) + b"ab")
        start = time.monotonic()

        assert gina.stop() == 0

        assert time.monotonic() - start < soon(10)


def test_two_proxies_cant_have_the_same_ports(gina: Portal) -> None:
    gina.start()

    process = gina.launch()

    assert process.wait(PATIENCE) == 1
    assert health(gina).status == 200
    assert end_is_clean(gina)


def end_is_clean(portal: Portal) -> bool:
    process = portal._process
    assert process is not None
    portal._process = None
    return end(process) == 0


def test_an_interrupted_response_doesnt_stop_the_proxy(gina: Portal, app: Recorder) -> None:
    gina.start()
    app.script(response(200, ("Content-Length", "99"), body=None) + b"half", close=True)
    exchange_broken(gina)

    app.clear()
    got = exchange(gina.public, request("GET", "/", ("Host", gina.app_host("site"))))

    assert got.body == b"ok"


def exchange_broken(portal: Portal) -> None:
    with RawConnection(portal.public) as wire:
        wire.send(request("GET", "/", ("Host", portal.app_host("site"))))
        assert wire.rest().endswith(b"half")


SITE = '{"v": "3.2", "paths": {"": {"access": "public"}}}'


def test_health_tells_which_apps_are_there_and_depends_on_none(gina: Portal) -> None:
    with socket.socket() as bound, socket.create_server((LOOPBACK, 0)) as there:
        bound.bind((LOOPBACK, 0))
        gina.add_app("gone", SITE, bound.getsockname()[1])
        gina.add_app("there", SITE, there.getsockname()[1])
        gina.start()
        got = health(gina)
    assert (got.status, got.json()["status"]) == (200, "ok")
    apps = got.json()["apps"]
    assert (apps["gone"], apps["there"]) == ("refuses", "answers")
    assert gina.command("health").returncode == 0


@pytest.mark.more
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("state/pairing.yaml", b"v: 2\ncodes: 3\n"),
        ("state/terminals.yaml", b"v: 9\n"),
        ("state/sealing/7\xff\x1b.key", b"x"),
        ("state/tokens/site", b"no token"),
        ("config/portal.yaml", b"nmae: Gina\n"),
    ],
)
def test_whatever_keeps_requests_out_is_told_by_health(
    gina: Portal, file: str, text: bytes
) -> None:
    gina.start()
    assert health(gina).json()["problems"] == []
    path = Path(os.fsdecode(os.fsencode(gina.folder) + b"/" + file.encode("latin-1")))
    kept = path.read_bytes() if path.exists() else None
    beside = path.with_name(".beside")
    beside.write_bytes(text)
    beside.chmod(0o600)
    beside.replace(path)

    eventually(lambda: health(gina).json()["status"] == "degraded")
    assert file.rpartition("/")[2].encode("unicode_escape").decode() in str(
        health(gina).json()["problems"]
    ).replace("\\\\", "\\")

    path.unlink() if kept is None else beside.write_bytes(kept)
    if kept is not None:
        beside.chmod(0o600)
        beside.replace(path)
    eventually(lambda: health(gina).json()["status"] == "ok")


def test_what_a_crash_left_is_swept_at_the_start(gina: Portal) -> None:
    left = [
        gina.state / ".identity.key.0123456789abcdef.new",
        gina.state / "tokens" / ".site.0123456789abcdef.new",
        gina.state / "sealing" / ".7.key.0123456789abcdef.new",
    ]
    for path in left:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(b"a secret")
    gina.start()
    assert [path for path in left if path.exists()] == []
    assert health(gina).status == 200
