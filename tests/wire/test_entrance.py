"""An app's own entrance: whoever comes there is that app, without a token, and no browser."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.patience import PATIENCE
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.networks import APPS, BETWEEN, Networks, own_networks
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import LOOPBACK, Raw, RawConnection, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_workers import workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PEERS = "/protected/peers"
CORE = ("Host", "portal_core")


class At(RawConnection):
    """A connection to somewhere else than a port of loopback."""

    def __init__(self, made: socket.socket) -> None:
        made.settimeout(PATIENCE)
        self.socket = made
        self._buffer = b""


def at_file(path: Path) -> At:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(str(path))
    except OSError:
        made.close()
        raise
    return At(made)


def ask(wire: At, raw: bytes) -> Raw:
    with wire:
        wire.send(raw)
        return wire.read()


def is_there(path: Path) -> bool:
    try:
        at_file(path).socket.close()
    except OSError:
        return False
    return True


def set_entrance(portal: Portal, app: str, lines: str) -> None:
    """Write an app's proxy.yaml anew, as editors do."""
    file = portal.config / "apps" / app / "proxy.yaml"
    (upstream, *_) = file.read_text("utf-8").splitlines()
    new = file.with_suffix(".new")
    new.write_text(f"{upstream}\n{lines}", "utf-8")
    new.rename(file)


def health(portal: Portal) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{portal.owner}/health") as got:
        found: dict[str, Any] = json.load(got)
    return found


def problems(portal: Portal) -> str:
    return " ".join(health(portal)["problems"])


@pytest.fixture
def bob_app() -> Iterator[Recorder]:
    with Recorder() as app:
        yield app


@pytest.fixture
def bob(tmp_path: Path, bob_app: Recorder) -> Iterator[Portal]:
    portal = Portal(tmp_path / "bob", "Bob")
    portal.add_app("wide", WIDE, bob_app.port)
    yield portal
    portal.release()


@pytest.fixture
def socket_file(tmp_path: Path) -> Path:
    return tmp_path / "entrance.sock"


@pytest.fixture
def ada(gina: Portal, app: Recorder, bob: Portal, socket_file: Path) -> Portal:
    """A Portal that knows Bob's; her app ``wide`` has an entrance, ``site`` has none."""
    gina.add_app("wide", WIDE, app.port, f"entrance: unix:{socket_file}\n")
    gina.knows(bob.as_contact(mode="sealed"), apps={"wide": "all"})
    bob.knows(gina.as_contact(mode="sealed"), apps={"wide": "all"})
    bob.start()
    return gina


def start(portal: Portal, socket_file: Path) -> Portal:
    portal.start()
    eventually(lambda: is_there(socket_file))
    return portal


def test_whoever_comes_is_the_app_in_each_form(
    ada: Portal, bob: Portal, bob_app: Recorder, socket_file: Path
) -> None:
    start(ada, socket_file)
    for name in ("portal_core", "portal-core", "shard_core", "Portal-Core:9001"):
        got = ask(at_file(socket_file), request("GET", PEERS, ("Host", name)))
        assert [peer["name"] for peer in got.json()] == ["Bob"]
    host = bob.app_host("wide")
    for raw in (
        request("GET", f"/internal/call_peer/{bob.id[:6]}/a?b=%41", CORE),
        request("GET", f"http://portal_core/internal/call_peer/{bob.id}/a?b=%41", CORE),
        request("GET", "/a?b=%41", ("Host", host)),
        request("GET", f"http://{host}/a?b=%41", ("Host", host)),
    ):
        bob_app.clear()
        got = ask(at_file(socket_file), raw)
        assert (got.status, got.body) == (200, b"ok")
        assert bob_app.request.target == b"/a?b=%41"
        assert bob_app.request.one("x-ptl-client-id").decode() == ada.id
    (line, *_) = ada.lines(listener="entrance", outcome="answered")
    assert line["app"] == "wide"
    assert stat.S_IMODE(socket_file.stat().st_mode) == 0o600


def test_references_lead_back_by_the_entrance(
    ada: Portal, bob: Portal, bob_app: Recorder, socket_file: Path
) -> None:
    start(ada, socket_file)
    host, by_path = bob.told_host("wide"), f"/internal/call_peer/{bob.id[:6]}"
    own = f"https://{bob.app_host('wide')}"
    for name, before, below in ((host, "", f"http://{host}"), ("portal_core", by_path, by_path)):
        bob_app.script(response(302, ("Location", f"{own}/y"), ("Link", f"<{own}/p>;rel=next")))
        got = ask(at_file(socket_file), request("GET", f"{before}/x", ("Host", name)))
        told = [got.one(field).decode() for field in ("location", "link")]
        assert told == [f"{below}/y", f"<{below}/p>;rel=next"]
        bob_app.script(response(307, ("Location", f"https://{host}/x")))
        got = ask(at_file(socket_file), request("GET", f"{before}/x", ("Host", name)))
        assert (got.code, got.one("portal-peer-refusal")) == (
            "redirects_to_itself",
            b"redirects_to_itself",
        )


def test_who_resolved_the_name_is_led_back_to_the_port_of_the_entrance(
    ada: Portal, bob: Portal, bob_app: Recorder, socket_file: Path
) -> None:
    start(ada, socket_file)
    told, public = bob.told_host("wide"), bob.app_host("wide")
    by_path = f"/internal/call_peer/{bob.id[:6]}"
    for name, before, below in (
        (told, "", f"http://{told}:9001"),
        (public, "", f"http://{public}"),
        ("portal_core", by_path, by_path),
    ):
        host = name if ":" in name else f"{name}:9001"
        for back in (f"https://{public}/y", f"http://{told}/y", f"//{told}/y"):
            bob_app.script(response(302, ("Location", back)))
            got = ask(at_file(socket_file), request("GET", f"{before}/x", ("Host", host)))
            assert got.one("location").decode() == f"{below}/y"
        # As a client's address bar has it: nothing of the app's is told the port.
        assert bob_app.requests[-1].one("host").decode() == told


def test_the_others_are_refused(ada: Portal, bob: Portal, socket_file: Path) -> None:
    start(ada, socket_file)
    browser, nobody, token = "from_a_browser", "not_a_peer_host", "token_unknown"
    cases: list[tuple[str, int, bytes]] = [
        (browser, 403, request("GET", PEERS, CORE, ("Origin", "http://evil.example"))),
        (browser, 403, request("GET", PEERS, CORE, ("Origin", "null"))),
        (browser, 403, request("GET", PEERS, CORE, ("Sec-Fetch-Site", "none"))),
        (browser, 403, request("GET", PEERS, CORE, ("Sec-Fetch-Mode", "cors"),
                               ("Sec-Fetch-Dest", "empty"))),
        (browser, 403, request("GET", "/public/meta/whoareyou", CORE, ("Sec-Fetch-Site", "none"))),
        (browser, 403, request("OPTIONS", PEERS, CORE, ("Origin", "http://portal_core"))),
        (nobody, 403, request("GET", PEERS, ("Host", "evil.example"))),
        (nobody, 403, request("GET", "/public/meta/whoareyou", ("Host", "127.0.0.1"))),
        (nobody, 403, request("GET", PEERS, ("Host", "localhost"))),
        (nobody, 403, request("GET", "/x", ("Host", bob.host))),
        (nobody, 403, request("GET", "/x", ("Host", ada.app_host("wide")))),
        (nobody, 403, request("GET", "/x", ("Host", bob.app_host("site")))),
        (nobody, 403, request("GET", "http://evil.example/", ("Host", "evil.example"))),
        (nobody, 403, request("GET", f"http://portal_core{PEERS}", ("Host", "evil.example"))),
        (nobody, 403, request("GET", f"http://{bob.app_host('wide')}/", CORE)),
        ("no_internet", 403, request("CONNECT", "evil.example:443", CORE)),
        (browser, 403, request("CONNECT", "portal_core:80", CORE, ("Origin", "null"))),
        (token, 407, request("CONNECT", "portal_core:80", CORE, ("Portal-Token", "x"))),
        (nobody, 403, b"GET /protected/peers HTTP/1.0\r\n\r\n"),
        (token, 401, request("GET", PEERS, CORE, ("Portal-Token", ada.token("site")))),
        (token, 401, request("GET", PEERS, CORE, ("Portal-Token", "x"))),
    ]  # fmt: skip
    for code, status, raw in cases:
        got = ask(at_file(socket_file), raw)
        assert (got.status, got.code) == (status, code), raw
    own = request("GET", PEERS, CORE, ("Portal-Token", ada.token("wide")))
    assert ask(at_file(socket_file), own).status == 200
    refused = ada.lines(listener="entrance", outcome="refused", app="wide")
    assert len(refused) == len(cases)
    # The shared listener asks for a token as ever, and takes no notice of a browser's fields.
    assert exchange(ada.apps, request("GET", PEERS, CORE)).code == "token_required"


def test_a_tunnel_ends_with_the_peer_it_leads_to(
    ada: Portal, bob: Portal, bob_app: Recorder, socket_file: Path
) -> None:
    start(ada, socket_file)
    host = bob.app_host("wide").partition(":")[0]
    with at_file(socket_file) as wire:
        wire.send(request("CONNECT", f"{host}:80", ("Host", f"{host}:80")))
        assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\n"
        wire.send(request("GET", "/a%2Fb", ("Host", host)))
        assert wire.read().body == b"ok"
        assert bob_app.request.target == b"/a%2Fb"
        assert bob_app.request.one("x-ptl-client-id").decode() == ada.id
        wire.send(request("GET", "/", ("Host", host), ("Sec-Fetch-Site", "none")))
        assert wire.read().code == "from_a_browser"
        ada.knows(apps={"wide": "all"})
        assert wire.rest() == b""


def test_one_that_is_removed_ends_what_runs_there_and_comes_back(
    ada: Portal, bob: Portal, bob_app: Recorder, socket_file: Path
) -> None:
    start(ada, socket_file)
    bob_app.script(response(200, ("Content-Length", "5"), body=None))  # never whole
    path = f"/internal/call_peer/{bob.id}/x"
    with (
        at_file(socket_file) as idle,
        at_file(socket_file) as running,
        at_file(socket_file) as streaming,
    ):
        idle.send(request("GET", PEERS, CORE))
        assert idle.read().status == 200
        streaming.send(request("GET", path, CORE))
        assert streaming.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        bob_app.script(b"")  # nothing at all
        running.send(request("GET", path, CORE))
        eventually(lambda: len(bob_app.requests) == 2)
        set_entrance(ada, "wide", "")
        assert running.read().code == "token_required"
        assert streaming.rest() == b""
        assert idle.rest() == b""
    eventually(lambda: not is_there(socket_file))
    assert not socket_file.exists()
    assert exchange(ada.public, request("GET", "/", ("Host", ada.app_host("site")))).status == 200
    bob_app.clear()
    other = socket_file.with_name("other.sock")
    set_entrance(ada, "wide", f"entrance: unix:{other}\nentrance_mode: '0660'\n")
    eventually(lambda: is_there(other))
    assert ask(at_file(other), request("GET", PEERS, CORE)).status == 200
    assert stat.S_IMODE(other.stat().st_mode) == 0o660
    assert health(ada)["problems"] == []


def test_where_a_token_is_asked_for_from_now_on_what_came_without_one_ends(
    ada: Portal, bob: Portal, bob_app: Recorder, socket_file: Path
) -> None:
    """The owner has found somebody else on the network."""
    start(ada, socket_file)
    bob_app.script(response(200, ("Content-Length", "5"), body=None))
    path = f"/internal/call_peer/{bob.id}/x"
    with at_file(socket_file) as streaming, at_file(socket_file) as idle:
        streaming.send(request("GET", path, CORE))
        assert streaming.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        idle.send(request("GET", PEERS, CORE))
        assert idle.read().status == 200
        set_entrance(ada, "wide", f"entrance: unix:{socket_file}\nentrance_token: required\n")
        assert streaming.rest() == b""
        idle.send(request("GET", PEERS, CORE))
        assert idle.read().code == "token_required"
    with at_file(socket_file) as streaming:
        streaming.send(request("GET", path, CORE, ("Portal-Token", ada.token("wide"))))
        assert streaming.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        set_entrance(ada, "site", "app_answer: 5s\n")
        eventually(lambda: ada.log.count("the apps changed: ") > 1)
        assert select.select([streaming.socket], [], [], 0)[0] == []


def test_one_that_cant_be_opened_is_told_and_keeps_no_other_back(
    ada: Portal, app: Recorder, socket_file: Path
) -> None:
    ada.add_app("lost", SITE, app.port, f"entrance: unix:{socket_file.parent}/none/lost.sock\n")
    ada.add_app("taken", SITE, app.port, f"entrance: {LOOPBACK}:{ada.apps}\n"
                "entrance_token: required\n")  # fmt: skip
    ada.add_app("away", SITE, app.port, "entrance: 10.255.255.1:9001\n")
    start(ada, socket_file)
    eventually(lambda: problems(ada).count("entrance: ") == 3)
    told = problems(ada)
    assert "apps/lost/proxy.yaml: entrance: can't be opened: " in told
    assert "apps/taken/proxy.yaml: entrance: is the address of the apps listener" in told
    assert "10.255.255.1 isn't an address of this machine" in told
    assert "the entrance of lost at " in ada.log
    assert ask(at_file(socket_file), request("GET", PEERS, CORE)).status == 200
    assert exchange(ada.owner, request("GET", "/readyz", ("Host", "localhost"))).status == 503
    (socket_file.parent / "none").mkdir()
    eventually(lambda: is_there(socket_file.parent / "none" / "lost.sock"))
    for name in ("taken", "away"):
        set_entrance(ada, name, "")
    eventually(lambda: not health(ada)["problems"])


def test_on_loopback_the_app_shows_its_token_too(ada: Portal, socket_file: Path) -> None:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    set_entrance(ada, "wide", f"entrance: {LOOPBACK}:{port}\nentrance_token: required\n")
    ada.start()
    eventually(lambda: "the entrance of wide is open" in ada.log)
    token = ("Portal-Token", ada.token("wide"))
    eventually(lambda: _answers(port))
    assert exchange(port, request("GET", PEERS, CORE)).code == "token_required"
    proxied = exchange(port, request("GET", f"http://portal_core{PEERS}", CORE))
    assert (proxied.status, proxied.code) == (407, "token_required")
    assert exchange(port, request("GET", PEERS, CORE, token)).status == 200
    assert exchange(port, request("GET", PEERS, ("Host", "localhost"), token)).status == 403
    assert exchange(port, request("GET", "/public/meta/whoareyou", CORE)).status == 200
    # Where none is asked for any more, it is opened anew.
    required = f"entrance: unix:{socket_file}\nentrance_token: required\n"
    set_entrance(ada, "wide", required)
    eventually(lambda: is_there(socket_file))
    assert ask(at_file(socket_file), request("GET", PEERS, CORE)).code == "token_required"
    set_entrance(ada, "wide", required.partition("\n")[0])

    def needs_none() -> bool:
        try:
            return ask(at_file(socket_file), request("GET", PEERS, CORE)).status == 200
        except (OSError, EOFError):
            return False

    eventually(needs_none)


def _answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port)).close()
    except OSError:
        return False
    return True


def test_several_workers_share_it(ada: Portal, socket_file: Path) -> None:
    ada.workers = 3
    ada.start()
    eventually(lambda: ada.log.count("owner listener:") == ada.workers)
    eventually(lambda: is_there(socket_file))
    eventually(lambda: all(not problems(ada) for _ in range(12)))

    def serves(path: Path) -> bool:
        return ask(at_file(path), request("GET", PEERS, CORE)).status == 200

    assert all(serves(socket_file) for _ in range(12))
    # One that ends leaves it to the others, and whoever takes its place has it, too.
    before = workers_of(ada)
    for number in (signal.SIGTERM, signal.SIGKILL):
        ending = workers_of(ada)[0]
        os.kill(ending, number)
        eventually(partial(_has_ended, ada, ending))
        assert serves(socket_file)
        eventually(lambda: len(workers_of(ada)) == ada.workers)
    assert set(before) != set(workers_of(ada))
    eventually(lambda: ada.log.count("owner listener:") >= ada.workers + 2)
    # It moves to another app, at the same place: nobody who comes is the first one any more.
    with ExitStack() as stack:
        tunnels = [stack.enter_context(at_file(socket_file)) for _ in range(9)]
        for wire in tunnels:
            wire.send(request("CONNECT", "portal_core:80", CORE))
            assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\n"
        set_entrance(ada, "wide", "")
        assert {wire.rest() for wire in tunnels} == {b""}
    eventually(lambda: not socket_file.exists())
    set_entrance(ada, "site", f"entrance: unix:{socket_file}\n")

    def is_sites() -> bool:
        return is_there(socket_file) and (
            ask(at_file(socket_file), request("GET", PEERS, CORE)).body == b"[]"
        )

    eventually(is_sites)
    assert all(is_sites() for _ in range(9))
    eventually(lambda: all(not problems(ada) for _ in range(12)))
    assert ada.stop() == 0
    assert not socket_file.exists()


def _has_ended(portal: Portal, worker: int) -> bool:
    return worker not in workers_of(portal)


@pytest.fixture
def networks() -> Iterator[Networks]:
    with own_networks() as networks:
        yield networks


@pytest.mark.parametrize("workers", [1, 2])
def test_only_the_apps_own_network_reaches_it(
    networks: Networks, tmp_path: Path, workers: int
) -> None:
    port = 9001
    with Recorder() as app:
        ada = Portal(tmp_path / "ada", "Ada", workers=workers)
        ada.add_app("wide", WIDE, app.port, f"entrance: {APPS}:{port}\n")
        ada.knows(apps={"wide": "all"})
        try:
            ada.start()
            eventually(lambda: "the entrance of wide is open" in ada.log)

            def answers() -> bool:
                try:
                    made = networks.reach(networks.app, APPS, port)
                except OSError:
                    return False
                return ask(At(made), request("GET", PEERS, CORE)).status == 200

            eventually(answers)
            networks.reach(networks.machine, APPS, port).close()
            # The stranger's packets get to this machine, and are for one of its addresses.
            with socket.create_server((APPS, port + 1)):
                networks.reach(networks.stranger, APPS, port + 1).close()
            with pytest.raises(ConnectionRefusedError):
                networks.reach(networks.stranger, APPS, port)
            with pytest.raises(ConnectionRefusedError):
                networks.reach(networks.stranger, BETWEEN, port)
            eventually(lambda: all(not problems(ada) for _ in range(8)))
            set_entrance(ada, "wide", f"entrance: {APPS}:{port + 2}\n")
            eventually(lambda: _is_refused(networks, port))
            networks.reach(networks.app, APPS, port + 2).close()
        finally:
            ada.release()


def _is_refused(networks: Networks, port: int) -> bool:
    try:
        networks.reach(networks.app, APPS, port).close()
    except OSError:
        return True
    return False
