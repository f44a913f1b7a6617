"""Targets that a real server reads in a way of its own: the private page comes to no stranger.

Each is first asked of the server itself, which gives that page: else the row would prove nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.more.servers.catalogue import ODD_NAMES

if TYPE_CHECKING:
    from tests.more.servers.catalogue import Server
    from tests.more.servers.front import Front

pytestmark = pytest.mark.more

_MARKS = (b'"private"', b"the secret")
_READ_OTHERWISE = [
    # Bottle drops what isn't UTF-8.
    *(
        ("bottle", "closed", target)
        for target in (
            b"/pri%80vate/secret",  # a continuation byte without its first
            b"/private%c3/secret",  # a sequence that is cut
            b"/pri%e2%82vate/secret",
            b"/pri%ed%a0%80vate/secret",  # a surrogate
            b"/pri%ff%fevate/secret",
            b"/pri%f4%90%80%80vate/secret",  # above U+10FFFF
            b"/%c0private/secret",
            b"/pri\x80vate/secret",
            b"/pri\xf4\x90\x80\x80vate/secret",
            b"/%80private/secret",
            b"/pri%80%76ate/secret",
        )
    ),
    ("bottle", "opened", b"/static/public/.%80./private/secret"),
    ("bottle", "opened", b"/static/public/%80../private/secret"),
    ("bottle", "opened", b"/static/public/.%ed%a0%80./private/secret"),
    ("bottle", "opened", b"/static/public/.\x80./private/secret"),
    # WHATWG's parser skips all leading slashes and takes what follows for a host; PHP's takes two.
    ("url", "closed", b"//x/private/secret"),
    ("url", "closed", b"///x/private/secret"),
    ("url", "closed", b"/////x/private/secret"),
    ("url", "closed", b"///x:80/private/secret"),
    ("url", "closed", b"///a@x/private/secret"),
    ("php", "closed", b"//x/private/secret"),
    ("php", "closed", b"//x:80/private/secret"),
    # The folder's page without its last slash.
    ("express", "closed", b"/private"),
    ("express", "closed", b"/PRIVATE"),
    ("polka", "closed", b"/private"),
    ("sirv", "closed", b"/private"),
    ("sanic", "closed", b"/private"),
    ("php", "closed", b"/private"),
    ("php", "closed", b"/private?x=1"),
    ("php", "closed", b"/%70rivate"),
]


@pytest.mark.parametrize(("server", "rules", "target"), _READ_OTHERWISE, indirect=["server"])
def test_no_stranger_gets_the_private_page(
    front: Front, server: Server, rules: str, target: bytes
) -> None:
    direct = front.ask_directly(server, target)
    assert any(mark in direct.body for mark in _MARKS), direct

    got = front.ask(server, rules, target)

    assert not any(mark in got.body for mark in _MARKS), got
    assert got.status in {400, 401, 403}, got
    assert got.code


@pytest.mark.parametrize(
    ("server", "target"),
    [
        ("bottle", b"/public/pr%C3%A9vu"),
        ("bottle", b"/public/pr%C3%A9vu?x=%80"),
        ("url", b"/public/x"),
        ("url", b"/x/public/page?to=///x/private/secret"),
        ("express", b"/privately"),
        ("polka", b"/privately"),
        ("sanic", b"/public/private"),
        ("php", b"/privately"),
        ("php", b"/public/private/"),
    ],
    indirect=["server"],
)
def test_what_can_be_read_in_one_way_passes(front: Front, server: Server, target: bytes) -> None:
    got = front.ask(server, "closed", target)

    assert got.status == 200, got
    assert got.body == front.ask(server, "all", target).body.replace(b"-all.", b"-closed.")


@pytest.mark.parametrize(
    ("server", "target"),
    [
        ("express", b"/private"), ("polka", b"/private"), ("sirv", b"/private"),
        ("sanic", b"/private"), ("php", b"/private"), ("bottle", b"/pri%80vate/secret"),
    ],
    indirect=["server"],
)  # fmt: skip
def test_a_device_of_the_owners_gets_it(front: Front, server: Server, target: bytes) -> None:
    """No rule is ``peer``, so the strictest of all is ``private``."""
    got = front.ask(server, "closed", target, front.phone.cookie)

    assert any(mark in got.body for mark in _MARKS), got


@pytest.mark.parametrize("rules", ["opened", "closed", "all"])
@pytest.mark.parametrize(
    ("server", "name"),
    # lighttpd refuses control characters itself.
    [("nginx", name) for name in ODD_NAMES] + [("lighttpd", name) for name in ODD_NAMES[:3]],
    indirect=["server"],
)
def test_a_file_with_an_odd_name_is_reached(
    front: Front, server: Server, rules: str, name: bytes
) -> None:
    """By the owner's devices where rules differ, by everybody where all are one."""
    who = () if rules == "all" else (front.phone.cookie,)
    written = [b"/private/" + quote(name).encode()]
    if not name.isascii():
        written.append(b"/private/" + name)
    for target in written:
        got = front.ask(server, rules, target, *who)

        assert (got.status, got.body) == (200, b"an odd name"), (target, got)
