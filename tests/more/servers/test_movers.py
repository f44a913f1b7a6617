"""No field that somebody sends makes a real server serve another page than the rules judged.

``movers.json`` says which names are known, and who reads them. Such a list ages: a new server in
``catalogue.py`` is asked with each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.more.servers.catalogue import movers
from tests.more.servers.front import app_name
from tests.more.servers.sweep import Sweep
from tests.wire.harness.raw import exchange
from tests.wire.harness.sealer import Sender
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from tests.more.servers.catalogue import Running, Server
    from tests.more.servers.front import Front

pytestmark = pytest.mark.more

_NAMES = [name for group in ("movers", "written") for name in movers()[group]]
# By whom each is taken for the mount point, so that the sweep is known to see what it looks for.
_MOVED_DIRECTLY = [
    ("flask", "SCRIPT_NAME"),
    ("gunicorn", "SCRIPT_NAME"),
    ("daphne-django", "Daphne-Root-Path"),
    ("flask-snippet", "X-Script-Name"),
    ("flask-proxyfix", "X-Forwarded-Prefix"),
    ("radicale", "X-Script-Name"),
]
_ON_SOCKETS = [("flask-socket", "SCRIPT_NAME")]


def test_no_field_moves_a_request(front: Front, server: Server) -> None:
    through = Sweep(server, front.portal.public, front.host(server, "opened"))
    status, body = through.ask()
    assert status in {200, 404}, body
    assert server.mark not in body

    assert list(through.moved(_NAMES)) == []


@pytest.mark.parametrize("server", sorted({name for name, _ in _MOVED_DIRECTLY}), indirect=True)
def test_without_the_proxy_they_do(running: Running, server: Server) -> None:
    direct = Sweep(server, running.port(server), "app.test")

    for name in (name for where, name in _MOVED_DIRECTLY if where == server.name):
        # Radicale reads its field where a proxy seems to be in front.
        proxied = ("X-Forwarded-Proto", "http")
        assert direct.ask(proxied, (name, "/public")) != direct.ask(proxied), name


@pytest.mark.parametrize(("server", "name"), [*_MOVED_DIRECTLY, *_ON_SOCKETS], indirect=["server"])
def test_no_covered_field_moves_a_peers_call(front: Front, server: Server, name: str) -> None:
    """Signed by the peer and sealed, so nobody on the way put it there: the peer did."""
    app, target = app_name(server, "peers"), server.target.encode()
    field = (name.lower().encode(), b"/public")

    signed = exchange(
        front.portal.public, sign_call(front.cleo, front.portal, app, target, fields=(field,)).raw
    )
    sender = Sender(front.cleo, front.portal)
    sealed = sender.ask(sender.head(app, target, fields=(field,)))

    for got in (signed, sealed):
        assert got.status in {200, 404}, got
        assert server.mark not in got.body, got


def test_a_stranger_never_gets_the_private_page(front: Front, server: Server) -> None:
    got = front.ask(server, "opened", "/private/secret")

    assert (got.status, got.code) == (401, "proof_required")
