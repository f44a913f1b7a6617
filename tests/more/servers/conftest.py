"""The real servers, one Portal in front of them all, and what comes to it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.more.servers.catalogue import BY_NAME, ENVIRONMENT, SERVERS, Running, Server
from tests.more.servers.front import RULES, Front, app_name
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.signer import new_key
from tests.wire.harness.terminals import pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from proxy.core.access.policy import Mode


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if not (ENVIRONMENT / "installed").exists():
        pytest.skip("no .venv-servers here")
    with Running(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
def front(running: Running) -> Iterator[Front]:
    """A Portal with each server as an app of its own, once for each table of rules.

    Two Portals and a bare key know it, and it knows them.
    """
    with ExitStack() as stack:
        bob, ada, eve = (
            Portal(running.folder / name.lower(), name) for name in ("Bob", "Ada", "Eve")
        )
        for portal in (bob, ada, eve):
            stack.callback(portal.release)
        names: dict[str, Literal["all"]] = {}
        for server in SERVERS:
            for kind, rules in RULES.items():
                paths = {prefix: {"access": access} for prefix, access in rules.items()}
                name = app_name(server, kind)
                manifest = json.dumps({"v": "3.2", "port": 80, "paths": paths})
                bob.add_app(name, manifest, running.port(server), server.settings)
                if server.is_on_socket:
                    settings = bob.config / "apps" / name / "proxy.yaml"
                    settings.write_text(f"upstream: unix:{running.socket(server)}\n", "utf-8")
                names[name] = "all"
                if kind == "peers":
                    for caller in (ada, eve):
                        caller.add_app(name, manifest, 9)
        cleo = new_key()
        bob.knows(
            contact(cleo.public.portal_id, "Cleo", 1, 1), ada.as_contact(), eve.as_contact(),
            apps=names,
        )  # fmt: skip
        modes: dict[Mode, Portal] = {"sealed": ada, "signed": eve}
        for mode, caller in modes.items():
            caller.knows(bob.as_contact(mode=mode), apps=names)
            caller.start()
        yield Front(running, bob.start(), pair(bob), cleo, modes)
        assert bob.MISTAKE not in bob.log, bob.log


@pytest.fixture(params=BY_NAME)
def server(request: pytest.FixtureRequest, running: Running) -> Server:
    """Each server in turn, running."""
    server = BY_NAME[request.param]
    if not server.is_here:
        pytest.skip(f"no {server.command[0]} here")
    running.start(server)
    return server
