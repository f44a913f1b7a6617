"""A disk on which each sync takes a second and a half: the event loop waits for none of it.

What the loop's own thread asks the disk for is noted by the process itself, whatever the machine's
load. How long requests had to wait is only told: on a loaded machine that says little.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.sealing.envelope import GATEWAY
from proxy.transfer.buffered_body import MEMORY
from tests.patience import PATIENCE
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.portals import contact
from tests.wire.harness.raw import Raw, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.slow_disk import Probe, SlowPortal
from tests.wire.harness.terminals import (
    HTML,
    Device,
    from_the_page,
    new_code,
    send_form,
    token_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


SYNC = 1500
PRIVATE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "private"}}}'


class Stage:
    """Bob, whose disk is slow; Eda, who calls him sealed, whose disk is too; Cleo, who signs."""

    def __init__(self, folder: Path, app: Recorder, old: Recorder) -> None:
        self.app, self.old = app, old
        self.bob = SlowPortal(folder / "bob", "Bob")
        self.eda = SlowPortal(folder / "eda", "Eda")
        self.cleo = new_key()
        for portal in (self.bob, self.eda):
            portal.add_app("wide", WIDE, app.port)
            portal.add_app("site", SITE, app.port)
            portal.add_app("old", SITE, old.port, 'http: "1.0"\n')
            portal.add_app("mine", PRIVATE, app.port)
        self.eda.knows(self.bob.as_contact(mode="sealed"), apps={"wide": "all"})
        self.bob.knows(
            self.eda.as_contact(),
            contact(self.cleo.public.portal_id, "Cleo", 9, 9),
            apps={"wide": "all"},
        )

    @property
    def portals(self) -> tuple[SlowPortal, SlowPortal]:
        return self.bob, self.eda

    # What goes on meanwhile.

    def plain(self) -> None:
        raw = request("GET", "/", ("Host", self.bob.app_host("site")))
        assert exchange(self.bob.public, raw).status == 200

    def signed(self) -> None:
        assert exchange(self.bob.public, sign_call(self.cleo, self.bob, "wide").raw).status == 200

    def signed_and_large(self) -> None:
        body = bytes(2 * MEMORY)
        call = sign_call(self.cleo, self.bob, "wide", method=b"POST", body=body)
        assert exchange(self.bob.public, call.raw).status == 200

    def sealed(self) -> None:
        answer = self.sealed_call()
        assert answer.status == 200, answer

    def sealed_call(self) -> Raw:
        token = ("Portal-Token", self.eda.token("wide"))
        raw = request("GET", f"/internal/call_peer/{self.bob.id}/x", ("Host", "a"), token)
        return exchange(self.eda.apps, raw)

    def spooled(self) -> None:
        head = request(
            "POST", "/", ("Host", self.bob.app_host("old")), ("Transfer-Encoding", "chunked")
        )
        size = 2 * MEMORY
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, bytes(size))
        assert exchange(self.bob.public, head + body).status == 200

    def wrong_code(self) -> None:
        got = send_form(self.bob, "0000-0000-0000", from_the_page(self.bob), HTML)
        assert got.status in (403, 429, 503), got

    def wrong_link(self) -> None:
        got = send_form(self.bob, "x" * 43, from_the_page(self.bob), HTML)
        assert got.status in (400, 403, 429, 503), got

    def pairing(self) -> None:
        paired = send_form(self.bob, new_code(self.bob), from_the_page(self.bob), HTML)
        assert paired.status in (303, 429, 503), paired
        if paired.status == 303:
            self.device(token_of(paired))

    def device(self, token: str) -> None:
        host = ("Host", self.bob.app_host("mine"))
        raw = request("GET", "/", host, Device("", token).cookie)
        assert exchange(self.bob.public, raw).status == 200

    def unknown_device(self) -> None:
        host = ("Host", self.bob.app_host("mine"))
        raw = request("GET", "/", host, Device("", "U" * 43).cookie)
        assert exchange(self.bob.public, raw).status == 401

    def unknown_key(self) -> None:
        sealed = ("Content-Type", "message/ohttp-chunked-req")
        raw = request("POST", GATEWAY.decode(), ("Host", self.bob.host), sealed, body=b"x" * 99)
        assert exchange(self.bob.public, raw).status in (400, 401, 422)

    def lists(self) -> None:
        assert self.bob.command("apps", "allow", "site", "all").returncode == 0
        assert self.bob.command("apps", "allow", "site", "none").returncode == 0

    def tokens(self) -> None:
        assert self.bob.command("apps", "token", "site", "--rotate").returncode == 0

    def keys(self) -> None:
        for key in (self.bob.state / "sealing").glob("*.key"):
            key.unlink(missing_ok=True)
        eventually(lambda: list((self.bob.state / "sealing").glob("*.key")))

    def two_answers(self) -> None:
        self.old.script(response(200, body=b"ok") * 2)
        raw = request("GET", "/", ("Host", self.bob.app_host("old")))
        assert exchange(self.bob.public, raw).status == 200
        self.old.script(response(200, body=b"ok"))

    def health(self) -> None:
        for portal in self.portals:
            for path in ("/health", "/livez", "/readyz", "/metrics"):
                raw = request("GET", path, ("Host", "localhost"))
                assert exchange(portal.owner, raw).status == 200


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        app, old = (stack.enter_context(Recorder()) for _ in range(2))
        stage = Stage(tmp_path, app, old)
        for portal in stage.portals:
            stack.callback(portal.release)
            portal.start()
        yield stage
        for portal in stage.portals:
            assert portal.MISTAKE not in portal.log, portal.log


def is_a_disks(wait: dict[str, Any]) -> bool:
    """Tell whether a disk may be waited for.

    A spare descriptor is one of no file at all; what the kernel tells of a file that is open, as
    the replay store is, it has in memory.
    """
    of = wait.get("of", "")
    return not ("'/dev/null'" in of or ("'stat'" in of and "replay.sqlite3'" in of))


def test_the_event_loop_waits_for_no_disk(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    everything: list[Callable[[], None]] = [
        stage.plain, stage.signed, stage.signed_and_large, stage.sealed, stage.spooled,
        stage.wrong_code, stage.wrong_link, stage.pairing, stage.unknown_device, stage.unknown_key,
        stage.lists, stage.tokens, stage.two_answers, stage.health,
    ]  # fmt: skip
    for work in everything:
        work()  # what is done once and never again, as reading a module, is done
    stage.keys()
    # The new key's file is there before the Portal offers it: without this wait the disk is slow
    # in between, and there is rightly no key to seal to.
    eventually(lambda: stage.sealed_call().status == 200)
    for portal in stage.portals:
        portal.slow_down(SYNC)
    with Probe(stage.bob) as probe, ThreadPoolExecutor(len(everything)) as pool:
        for done in [pool.submit(work) for work in everything]:
            done.result(PATIENCE)
        stage.keys()
    for portal in stage.portals:
        portal.hurry()
        assert [wait for wait in portal.waits(main=True) if is_a_disks(wait)] == []
    waits = stage.bob.waits(main=False)
    assert "fsync" in {wait["what"] for wait in waits}
    with capsys.disabled():
        longest = f"{probe.longest * 1000:.0f} ms"
        print(f" [{len(waits)} syncs of {SYNC} ms; the longest of other requests: {longest}]")
