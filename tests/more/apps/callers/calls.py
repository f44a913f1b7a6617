"""Two Portals: one's app calls the other's sealed, by clients that somebody else wrote."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from proxy.cli.app_environment import environment_of
from tests.more.apps.callers.called_app import REPOSITORY, CalledApp
from tests.more.apps.callers.catalogue import Client, Form
from tests.patience import PATIENCE
from tests.wire.conftest import WIDE
from tests.wire.harness.networks import APPS, Networks, own_networks
from tests.wire.harness.portals import Portal, environment
from tests.wire.harness.raw import LOOPBACK
from tests.wire.harness.recorder import Recorder, eventually

if TYPE_CHECKING:
    from pathlib import Path

_APP = "wide"


class Calls:
    """What runs, in ``folder``; with networks of its own the calling app has an entrance, too."""

    def __init__(self, folder: Path, *, has_entrance: bool) -> None:
        self.folder = folder
        self._has_entrance = has_entrance
        self._stack = ExitStack()
        self._networks: Networks | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._has_entrance:
                self._networks = stack.enter_context(own_networks())
            self.app = stack.enter_context(CalledApp(self.folder / "called"))
            own = stack.enter_context(Recorder())
            self.ada, self.bob = (
                Portal(self.folder / "ada", "Ada"),
                Portal(self.folder / "bob", "Bob"),
            )
            stack.callback(self.ada.release)
            stack.callback(self.bob.release)
            self.bob.add_app(_APP, WIDE, self.app.port)
            self.ada.add_app(
                _APP, WIDE, own.port, f"entrance: {APPS}:80\n" if self._has_entrance else ""
            )
            for portal, other in ((self.ada, self.bob), (self.bob, self.ada)):
                portal.knows(other.as_contact(mode="sealed"), apps={_APP: "all"})
                portal.start()
            if self._has_entrance:
                eventually(lambda: f"the entrance of {_APP} is open" in self.ada.log)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, client: Client, form: Form) -> subprocess.CompletedProcess[str]:
        """Run a client's program to its end, as an app of Ada's that has what this form needs."""
        core = f"http://{client.core}"
        base = f"http://{self.bob.told_host(_APP)}"
        variables = environment_of(
            _APP, self.ada.token(_APP), f"{LOOPBACK}:{self.ada.apps}",
            peer_hosts=[self.bob.told_host(_APP)],
        )  # fmt: skip
        if form is Form.PATH:
            core = variables["PORTAL_CORE_URL"]
        if form in (Form.PATH, Form.ENTRANCE):
            base = f"{core}/internal/call_peer/{self.bob.id[:6]}"
            kept = ("PORTAL_CORE_URL", "PORTAL_TOKEN") if form is Form.PATH else ()
            variables = {name: variables[name] for name in kept}
        pages = [f"{base}{path}" for path in ("/a%2Fb?c=%E4", "/moved", "/entries")]
        urls = [base + REPOSITORY] if client.is_git else [f"{core}/protected/peers", *pages]
        command = [*client.command, form.value, *urls]
        go = {"GOCACHE": str(self.folder / "go"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
        env = {**environment(), **variables, **go, "HOME": str(self.folder)}
        if form is not Form.ENTRANCE:
            return self._run(command, env)
        assert self._networks is not None
        with self._networks.as_if(self._networks.app):
            return self._run([*self._with_names(), *command], env)

    def _run(self, command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        env.pop("PYTHONPATH", None)  # ours are no modules of theirs
        return subprocess.run(
            command, env=env, cwd=self.folder, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip

    def _with_names(self) -> list[str]:
        """Return what runs a command with the names that an app's network has."""
        hosts = self.folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{APPS} portal_core portal-core shard_core\n")
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        inside = ["unshare", "--mount", "--propagation", "private"]
        return [*inside, "sh", "-c", script, os.fspath(hosts)]

    def tunnels(self) -> int:
        """Return how many tunnels Ada's app has opened so far."""
        lines = self.ada.settled_log().splitlines()
        return sum("CONNECT" in line and "answered" in line for line in lines)

    def arrived(self, mode: str) -> int:
        """Return how many requests for the app came to Bob's public listener so far.

        ``mode`` is ``plain`` or ``sealed``.
        """
        self.bob.settled_log()
        lines = self.bob.lines(listener="public", mode=mode)
        return sum(line.get("app") == _APP for line in lines)
