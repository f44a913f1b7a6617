"""A disk with no room for the state: what must be remembered is refused, the rest goes on.

Once with a limit on every file that the proxy writes, once (as root) with a file system that is
full indeed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.core.identity import PrivateKey
from tests.patience import PATIENCE
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.disks import Disk, FileSystem, Limit
from tests.wire.harness.portals import Portal, contact, environment
from tests.wire.harness.raw import Raw, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sealer import Sender, offered_by
from tests.wire.harness.signer import SignedCall, new_key, sign_call
from tests.wire.harness.troubled import Drifting

if TYPE_CHECKING:
    from proxy.core.sealing.key_config import KeyConfig

pytestmark = pytest.mark.more

MINUTE = 60
_KIB = 1024


@pytest.fixture(params=["a limit", pytest.param("a file system", marks=pytest.mark.more)])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "a limit":
        yield Limit()
        return
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield FileSystem(folder)
    subprocess.run(["umount", str(folder)], check=True)


class Dana:
    """A Portal on that disk; ``friend`` is the key of its one contact."""

    def __init__(self, portal: Drifting, disk: Disk, app: Recorder, friend: PrivateKey) -> None:
        self.portal, self.app, self.disk, self.friend = portal, app, disk, friend

    def fill(self) -> None:
        self.disk.fill(self.portal)

    def empty(self) -> None:
        self.disk.empty(self.portal)

    def signed(self, call: SignedCall | None = None) -> str:
        """Call; return what came of it, which must be signed whatever it is."""
        call = call or self.call()
        got = exchange(self.portal.public, call.raw)
        assert call.believes(got, self.portal.id)
        return outcome(got)

    def call(self, body: bytes = b"") -> SignedCall:
        now = self.portal.now()
        return sign_call(self.friend, self.portal, "wide", method=b"POST", body=body, now=now)

    def sealed(self) -> str:
        sender = Sender(self.friend, self.portal)
        return outcome(sender.ask(sender.head("wide", now=self.portal.now())))

    def stranger(self, body: bytes | None = None) -> str:
        host = ("Host", self.portal.app_host("site"))
        return outcome(exchange(self.portal.public, request("POST", "/", host, body=body)))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command with as little room as the proxy has."""
        return subprocess.run(
            self.disk.command(*self.portal.command_line(*words)), env=environment(),
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    def health(self) -> Raw:
        return exchange(self.portal.owner, request("GET", "/health", ("Host", "localhost")))


def outcome(got: Raw) -> str:
    return "ok" if got.status == 200 else f"{got.status} {got.code}"


@pytest.fixture
def dana(disk: Disk, tmp_path: Path) -> Iterator[Dana]:
    with _dana(disk, tmp_path) as dana:
        yield dana


@contextmanager
def _dana(disk: Disk, tmp_path: Path) -> Iterator[Dana]:
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        settings = "accept: [sealed, signed]\nsealing_rotation: 10m\n"
        portal = Drifting(tmp_path / "disk" / "dana", "Dana", settings=settings)
        stack.callback(portal.release)
        portal.add_app("wide", WIDE, app.port)
        portal.add_app("site", SITE, app.port)
        friend = new_key()
        portal.knows(contact(friend.public.portal_id, "Friend", 9, 9), apps={"wide": "all"})
        portal.start()
        yield Dana(portal, disk, app, friend)
        assert "Traceback" not in portal.log, portal.log


DOWN = "503 replay_store_down"


def test_what_must_be_remembered_is_refused_and_strangers_are_served(dana: Dana) -> None:
    before = dana.call(b"before")
    assert (dana.signed(before), dana.sealed(), dana.stranger()) == ("ok", "ok", "ok")

    dana.fill()
    eventually(lambda: dana.signed() == DOWN)
    carried_out = len(dana.app.requests)
    assert (dana.signed(), dana.sealed()) == (DOWN, DOWN)
    assert len(dana.app.requests) == carried_out
    assert dana.stranger() == dana.stranger(bytes(3 * 1024 * _KIB)) == "ok"
    eventually(lambda: "the replay store is down" in dana.portal.log)

    dana.empty()
    eventually(lambda: dana.signed() == "ok")
    assert dana.sealed() == "ok"
    assert dana.signed(before) in ("409 replayed", "401 out_of_time")


def test_the_old_sealing_key_serves_until_a_new_one_can_be_made(dana: Dana) -> None:
    def offered() -> KeyConfig:
        return offered_by(dana.portal)

    old = offered()
    dana.fill()
    dana.portal.set_clock(11 * MINUTE)
    eventually(lambda: "no new sealing key can be made" in dana.portal.log)
    assert offered() == old
    assert "no new sealing key can be made" in str(dana.health().json()["problems"])
    assert dana.stranger() == "ok"

    dana.empty()
    eventually(lambda: offered() != old)
    eventually(lambda: dana.sealed() == "ok")


def test_a_change_of_contacts_fails_whole_and_says_why(dana: Dana) -> None:
    contacts = dana.portal.state / "contacts.yaml"
    good, tokens = contacts.read_bytes(), dana.portal.token("wide")
    eventually((dana.portal.state / "running.json").exists)  # the last that a start writes
    files = sorted(path.name for path in dana.portal.state.iterdir())
    dana.fill()
    for words in (
        ("apps", "allow", "wide", "none"),
        ("peers", "add", new_key().public.portal_id, "--name", "New"),
        ("apps", "token", "wide", "--rotate"),
    ):
        done = dana.command(*words)
        assert done.returncode == 1, (words, done)
        assert "Traceback" not in done.stderr
        reason = done.stderr.strip()
        assert "\n" not in reason
        assert "No space left" in reason or "File too large" in reason, reason
    assert contacts.read_bytes() == good
    assert dana.portal.token("wide") == tokens
    assert sorted(path.name for path in dana.portal.state.iterdir()) == files

    dana.empty()
    assert dana.command("apps", "allow", "wide", "none").returncode == 0
    eventually(lambda: dana.signed() == "403 not_allowed")


def test_it_starts_only_with_room_for_what_it_must_remember(dana: Dana) -> None:
    dana.portal.stop()
    dana.fill()

    done = dana.command("serve")

    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert "replay.sqlite3" in done.stderr


def test_a_body_that_cant_be_held_is_refused_and_nothing_done(tmp_path: Path) -> None:
    """Larger than what is held in memory: it needs a file in the temporary folder."""
    disk = Limit()
    with _dana(disk, tmp_path) as dana:
        disk.limit(dana.portal, 600 * _KIB)
        assert dana.signed(dana.call(bytes(100 * _KIB))) == "ok"
        carried_out = len(dana.app.requests)

        assert dana.signed(dana.call(bytes(1024 * _KIB))) == "503 storage_full"

        assert len(dana.app.requests) == carried_out
        assert dana.stranger(bytes(1024 * _KIB)) == "ok"


def test_a_response_that_cant_be_held_was_perhaps_carried_out(tmp_path: Path) -> None:
    disk = Limit()
    with _dana(disk, tmp_path) as dana:
        disk.limit(dana.portal, 600 * _KIB)
        dana.app.script(response(200, body=bytes(1024 * _KIB)))

        assert dana.signed() == "502 app_failed"

        assert len(dana.app.requests) == 1
        dana.app.script(response(200))
        assert dana.signed() == "ok"


def test_a_log_that_cant_be_written_costs_no_request(tmp_path: Path) -> None:
    with Recorder() as app:
        portal = Portal(tmp_path / "lou", "Lou")
        portal.add_app("site", SITE, app.port)
        portal.start()
        try:
            Limit().fill(portal)
            length = len(portal.log)
            host = ("Host", portal.app_host("site"))
            for _ in range(10):
                assert exchange(portal.public, request("GET", "/", host)).status == 200
            assert len(portal.log) == length
        finally:
            portal.release()
