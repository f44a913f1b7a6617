"""A cookie of a real framework's for a domain above the app's own host reaches no browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.portals import DOMAIN

if TYPE_CHECKING:
    from tests.more.servers.catalogue import Server
    from tests.more.servers.front import Front

pytestmark = pytest.mark.more


@pytest.mark.parametrize("server", ["flask"], indirect=True)
@pytest.mark.parametrize(
    ("domain", "names"),
    [
        ("{portal}", [b"own"]),
        (".{portal}", [b"own"]),
        (DOMAIN, [b"own"]),
        ("LocalHost", [b"own"]),
        ("evil.{portal}", [b"own"]),
        ("", [b"tossed", b"own"]),  # no Domain: for this host alone
        ("{app}", [b"tossed", b"own"]),
        (".{app}", [b"tossed", b"own"]),
    ],
)
def test_a_cookie_for_more_than_the_app_is_dropped(
    front: Front, server: Server, domain: str, names: list[bytes]
) -> None:
    app = front.host(server, "closed").partition(":")[0]
    named = domain.format(app=app, portal=app.partition(".")[2])
    query = f"?domain={named}" if named else ""

    got = front.ask(server, "closed", f"/public/cookie{query}")

    assert [value.partition(b"=")[0] for value in got.all("set-cookie")] == names
