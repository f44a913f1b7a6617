"""Removals are followed whatever the machine lacks; by a list that can't be read nobody enters."""

from __future__ import annotations

import json
import resource
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.holding import HoldingApp
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.terminals import Device, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.core.identity import PrivateKey

LIMIT = 64
IDLE = 150
_TOO_MANY = "503 too_many_connections"
PATHS = {"/peer": {"access": "peer"}, "/private": {"access": "private"}, "": {"access": "public"}}
MANIFEST = json.dumps({"v": "3.2", "port": 80, "paths": PATHS})


class Limited(Portal):
    """A Portal that may open few descriptors."""

    def command_line(self, *words: str, config: Path | None = None) -> list[str]:
        line = super().command_line(*words, config=config)
        if "serve" not in words:
            return line
        return ["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *line]


class Unfollowed(Portal):
    """A Portal whose follower ends by itself, which nothing foreseen makes it do."""

    PROGRAM = """
import runpy
from proxy.server.follower import Step

def fail(step):
    raise RuntimeError("unforeseen")

Step.begin = fail
runpy.run_module("proxy", run_name="__main__", alter_sys=True)
"""

    def command_line(self, *words: str, config: Path | None = None) -> list[str]:
        config = config or self.config
        return [sys.executable, "-c", self.PROGRAM, "--config", str(config), *words]


class Cast:
    """A Portal with a friend who calls, and a device of its owner's."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.friend: PrivateKey = new_key()
        self.friend_id = self.friend.public.portal_id
        self.knows()
        portal.start()
        self.device: Device = pair(portal)

    def knows(self, *names: str) -> None:
        """Write the contact list: the friend, and others."""
        peers = [contact(self.friend_id, "Friend", 1, 1)]
        peers += [contact(new_key().public.portal_id, name, 1, 1) for name in names]
        self.portal.knows(*peers, apps={"site": "all"})

    def call(self, wire: RawConnection, target: bytes = b"/peer") -> str:
        self.send_call(wire, target)
        return outcome(wire.read())

    def send_call(self, wire: RawConnection, target: bytes) -> None:
        wire.send(sign_call(self.friend, self.portal, "site", target).raw)

    def visit(self, wire: RawConnection) -> str:
        """Come with the device's cookie."""
        host = ("Host", self.portal.app_host("site"))
        wire.send(request("GET", "/private", host, self.device.cookie))
        return outcome(wire.read())

    @property
    def process(self) -> int:
        assert self.portal._process is not None
        return self.portal._process.pid

    @property
    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process}/fd").iterdir())

    @contextmanager
    def without_descriptors(self) -> Iterator[None]:
        """Let the process open nothing more, its spare ones included."""
        before = resource.prlimit(self.process, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process, resource.RLIMIT_NOFILE, (3, before[1]))
        yield
        resource.prlimit(self.process, resource.RLIMIT_NOFILE, before)

    def problems(self, wire: RawConnection) -> str:
        wire.send(request("GET", "/health", ("Host", "localhost")))
        return str(wire.read().json()["problems"])


def outcome(got: Raw) -> str:
    return "ok" if got.status == 200 else f"{got.status} {got.code}"


@pytest.fixture
def app() -> Iterator[HoldingApp]:
    with HoldingApp() as app:
        yield app


def cast(kind: type[Portal], folder: Path, app: HoldingApp) -> Iterator[Cast]:
    portal = kind(
        folder / "portal", "Portal",
        settings="accept: [sealed, signed]\ntimeouts: {head: 10m, idle: 1h}\n",
    )  # fmt: skip
    portal.add_app("site", MANIFEST, app.port)
    try:
        yield Cast(portal)
    finally:
        portal.release()
    assert "Traceback" not in portal.log, portal.log


@pytest.fixture
def limited(tmp_path: Path, app: HoldingApp) -> Iterator[Cast]:
    yield from cast(Limited, tmp_path, app)


@pytest.fixture
def usual(tmp_path: Path, app: HoldingApp) -> Iterator[Cast]:
    yield from cast(Portal, tmp_path, app)


def test_removals_are_followed_while_idle_connections_hold_every_descriptor(limited: Cast) -> None:
    portal = limited.portal
    with ExitStack() as stack:
        friend, device = (stack.enter_context(RawConnection(portal.public)) for _ in range(2))
        assert (limited.call(friend), limited.visit(device)) == ("ok", "ok")
        idle = stack.enter_context(ExitStack())
        for _ in range(IDLE):
            idle.enter_context(RawConnection(portal.public))
        seen = 0

        def is_settled() -> bool:
            nonlocal seen
            before, seen = seen, limited.descriptors
            return seen == before > 20

        eventually(is_settled)

        removed = portal.command("peers", "remove", limited.friend_id)
        assert removed.returncode == 0, removed.stderr
        gone = portal.command("terminals", "remove", limited.device.id)
        assert gone.returncode == 0, gone.stderr

        eventually(lambda: limited.call(friend) == "403 not_allowed")
        eventually(lambda: limited.visit(device) == "401 proof_required")
        idle.close()
    for who, refused in ((limited.call, "403 not_allowed"), (limited.visit, "401 proof_required")):

        def ask(who: Callable[[RawConnection], str] = who) -> str:
            with suppress(OSError, EOFError), RawConnection(portal.public) as wire:
                return who(wire)
            return _TOO_MANY

        # The ends of the idle ones take a moment to be seen.
        eventually(lambda: ask() != _TOO_MANY)
        assert ask() == refused
    host = ("Host", portal.app_host("site"))
    eventually(lambda: outcome(exchange(portal.public, request("GET", "/", host))) == "ok")


def test_a_removal_is_followed_although_an_app_is_broken(usual: Cast) -> None:
    folder = usual.portal.config / "apps" / "broken"
    folder.mkdir()
    (folder / "app.json").mkdir()
    (folder / "proxy.yaml").symlink_to("/proc/self/mem")
    (usual.portal.config / "apps" / "loop").symlink_to("loop")
    with RawConnection(usual.portal.public) as friend, RawConnection(usual.portal.owner) as owner:
        eventually(lambda: "broken" in usual.problems(owner))
        assert usual.call(friend) == "ok"
        usual.portal.knows(apps={})
        eventually(lambda: usual.call(friend) == "403 not_allowed")


def test_a_proxy_that_follows_nothing_any_more_ends(tmp_path: Path) -> None:
    portal = Unfollowed(tmp_path / "portal", "Portal")
    process = portal.launch()
    try:
        assert process.wait(PATIENCE) == 1
        assert "nothing is followed any more, so the proxy ends" in portal.log
    finally:
        process.kill()
        portal.release()


@pytest.mark.more
def test_where_the_lists_cant_be_read_nobody_is_let_in_by_them_until_they_can(
    usual: Cast, app: HoldingApp
) -> None:
    portal = usual.portal
    with ExitStack() as stack:
        ports = (portal.public,) * 3 + (portal.apps, portal.owner)
        wires = [stack.enter_context(RawConnection(port)) for port in ports]
        friend, device, running, apps, owner = wires
        ours = request(
            "GET", "/protected/peers", ("Host", "portal_core"),
            ("Portal-Token", portal.token("site")),
        )  # fmt: skip
        apps.send(ours)
        assert outcome(apps.read()) == "ok"
        assert (usual.call(friend), usual.visit(device)) == ("ok", "ok")
        usual.send_call(running, b"/peer/hold")
        eventually(lambda: app.held == 1)
        with usual.without_descriptors():
            usual.knows("Another")
            (portal.state / "terminals.yaml").touch()

            assert outcome(running.read()) == "503 contacts_unavailable"
            assert usual.call(friend) == "503 contacts_unavailable"
            eventually(lambda: usual.visit(device) == "401 proof_required")
            apps.send(ours)
            assert outcome(apps.read()) == "503 contacts_unavailable"
            told = usual.problems(owner)
            assert "no peer is let in, and no app can call one, until it can be read" in told
            assert "every device is a stranger until it can be read" in told
            assert "no more files or connections can be opened" in told
        eventually(lambda: usual.call(friend) == "ok")
        eventually(lambda: usual.visit(device) == "ok")
        eventually(lambda: usual.problems(owner) == "[]")
