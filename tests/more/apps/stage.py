"""An app as a process of its own, a Portal in front of it, and a client that somebody else wrote.

Apps and clients run as their authors left them, from an environment of their own (``../set-up``).
"""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.patience import PATIENCE
from tests.wire.harness.portals import (
    ROOT,
    Portal,
    end,
    environment,
    reserve_port,
    wait_for_ports,
)
from tests.wire.harness.raw import LOOPBACK, Raw, exchange, request
from tests.wire.harness.terminals import pair

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = ROOT / ".venv-apps"
NAMES = Path("/usr/lib") / sysconfig.get_config_var("MULTIARCH") / "libnss_wrapper.so"
"""Debian's library that gives a program a hosts file of its own."""
_CLIENTS = Path(__file__).with_name("clients")
_OF_THE_HOP = frozenset({b"date", b"connection", b"keep-alive"})
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


@dataclass
class App:
    """An app that runs; ``port`` is where it can be reached without a proxy."""

    port: int
    log_file: Path
    _process: subprocess.Popen[bytes]

    @property
    def authority(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "backslashreplace")


class Stage:
    """What one file of tests has running, in ``folder``; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, name: str, *words: str | Path, **more: str) -> App:
        """Start an app; ``{port}`` in a word is its port, ``more`` is added to its environment.

        It is the environment's, else the system's.
        """
        return self.run_with({}, name, *words, **more)

    def run_with(
        self, files: Mapping[Path, str], name: str, *words: str | Path, **more: str
    ) -> App:
        """Write files, in which ``{port}`` is the app's port too, and start it."""
        holder, port = reserve_port()
        self._stack.enter_context(holder)
        command, *arguments = (str(word).replace("{port}", str(port)) for word in words)
        for path, text in files.items():
            path.write_text(text.replace("{port}", str(port)), "utf-8")
        installed, log_file = ENVIRONMENT / "bin" / command, self.folder / f"{name}.log"
        holder.close()  # some apps ask for the port without SO_REUSEADDR
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [installed if installed.exists() else command, *arguments],
                env={**environment(), **more},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        self._stack.callback(end, process)
        wait_for_ports(process, port, log=log_file)
        return App(port, log_file, process)

    def portal(
        self, name: str, settings: str = "accept: [sealed, signed]\n", aliases: str = ""
    ) -> Portal:
        """Make a Portal that isn't running yet."""
        portal = Portal(self.folder / name.lower(), name, aliases, settings=settings)
        self._stack.callback(portal.release)
        return portal

    def behind(
        self, app: App, rules: Mapping[str, str], *settings: str, name: str = "app"
    ) -> Behind:
        """Start a Portal with one app behind it, and pair a device; ``settings`` are proxy.yaml's.

        A second Portal, of a peer, runs from ``caller`` on.
        """
        portal = self.portal("Bob", aliases="bob.example")
        paths = {prefix: {"access": access} for prefix, access in rules.items()}
        text = json.dumps({"v": "3.2", "port": 80, "paths": paths})
        portal.add_app(name, text, app.port, "".join(settings))
        ada = self.portal("Ada")
        ada.add_app(name, text, 9)
        portal.knows(ada.as_contact(), apps={name: "all"})
        ada.knows(portal.as_contact(mode="sealed"), apps={name: "all"})
        portal.start()
        return Behind(app, portal, ada, name, pair(portal).cookie)

    def caller(self, behind: Behind) -> str:
        """Start the peer's Portal; return the proxy by which its app calls ours."""
        behind.ada.start()
        return f"http://{behind.name}:{behind.ada.token(behind.name)}@{LOOPBACK}:{behind.ada.apps}"

    def client(self, script: str, *words: str, **more: str) -> Any:
        """Run a client to its end; return the JSON in the last line that it prints."""
        said = self.say(ENVIRONMENT / "bin" / "python", _CLIENTS / script, *words, **more)
        return json.loads(said.splitlines()[-1])

    def say(self, *command: str | Path, **more: str) -> str:
        """Run a command to its end, which must be a good one; return what it prints."""
        env = {**environment(), "PYTHONPATH": str(_CLIENTS), "PYTHONWARNINGS": "ignore", **more}
        done = subprocess.run(
            command, env=env, cwd=self.folder, capture_output=True, text=True,
            timeout=PATIENCE * 3, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def names(self, *hosts: str) -> dict[str, str]:
        """Return an environment in which a program finds ``hosts`` at this machine."""
        file = self.folder / "hosts"
        file.write_text("".join(f"{LOOPBACK} {host}\n" for host in hosts), "ascii")
        return {"LD_PRELOAD": str(NAMES), "NSS_WRAPPER_HOSTS": str(file)}


@dataclass(frozen=True)
class Behind:
    """An app behind a Portal, and who comes to it."""

    app: App
    portal: Portal
    ada: Portal
    name: str
    phone: tuple[str, str]
    """The cookie of a device of the owner's."""

    @property
    def host(self) -> str:
        return self.portal.app_host(self.name)

    def ask(
        self, method: str, target: str, *fields: tuple[str, str], body: bytes | None = None,
        host: str = "",
    ) -> Raw:  # fmt: skip
        named = ("Host", host or self.host)
        return exchange(self.portal.public, request(method, target, named, *fields, body=body))

    def arrived(self, mode: str) -> int:
        """Return how many requests for the app came to the public listener so far.

        ``mode`` is ``sealed``, or ``plain`` for those that weren't.
        """
        self.portal.settled_log()
        lines = self.portal.lines(listener="public", mode=mode)
        return sum(line.get("app") == self.name for line in lines)


def manifest(**access: str) -> str:
    """Return an app.json; each keyword is a prefix, ``rest`` the one that is empty."""
    paths = {"" if name == "rest" else f"/{name}": {"access": who} for name, who in access.items()}
    return json.dumps({"v": "3.2", "port": 80, "paths": paths})


@dataclass(frozen=True)
class Both:
    """One app, reached without the proxy and through it, under the same name."""

    app: App
    portal: Portal
    name: str
    moment: re.Pattern[bytes] = re.compile(rb"(?!)")
    """What is another with each request in the app's responses."""

    @property
    def host(self) -> str:
        return self.portal.app_host(self.name)

    def ask(
        self, method: str, target: str, *fields: tuple[str, str], body: bytes | None = None
    ) -> Raw:
        """Ask through the proxy."""
        return exchange(self.portal.public, self._raw(method, target, *fields, body=body))

    def alike(
        self, method: str, target: str, *fields: tuple[str, str], body: bytes | None = None
    ) -> Raw:
        """Ask both ways, and compare the responses: status, fields, framing, every byte."""
        raw = self._raw(method, target, *fields, body=body)
        direct, proxied = exchange(self.app.port, raw), exchange(self.portal.public, raw)
        assert proxied.status == direct.status, (proxied, direct)
        kept, given = (_kept(response, to_head=method == "HEAD") for response in (proxied, direct))
        assert kept == given, (proxied.head, direct.head)
        ours, theirs = (self._stable(response.body) for response in (proxied, direct))
        assert ours == theirs, (ours[:2000], theirs[:2000])
        return proxied

    def _stable(self, body: bytes) -> bytes:
        return self.moment.sub(b"<moment>", body)

    def _raw(self, method: str, target: str, *fields: tuple[str, str], body: bytes | None) -> bytes:
        return request(method, target, ("Host", self.host), *fields, body=body)


def _kept(response: Raw, *, to_head: bool) -> list[tuple[bytes, bytes]]:
    """Return the fields of a response that a proxy has no business with, the framing first.

    That a response to HEAD would come in chunks, which servers needn't say, isn't passed on. Of
    cookies, whose values are new each time, only the names are looked at.
    """
    dropped = _OF_THE_HOP | {b"transfer-encoding"} if to_head else _OF_THE_HOP
    fields = [
        (name, value.partition(b"=")[0] if name == b"set-cookie" else value)
        for name, value in response.fields
        if name not in dropped
    ]
    return sorted(fields, key=lambda field: field[0] not in _FRAMING)
