"""Which addresses are counted as one client's."""

import pytest

from proxy.core.http.forwarded import NOBODY, Trusted, read_network
from proxy.core.http.client_network import neighbourhood


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [("192.0.2.1", "192.0.2.1", True),
     ("192.0.2.1", "192.0.2.2", False),
     ("192.0.2.1", "::ffff:192.0.2.1", True),
     ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
     ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
     ("2001:db8::1", "2001:db8:0:1::1", False),
     ("fe80::1%eth0", "fe80::2%eth1", True),
     ("2001:db8::1", "192.0.2.1", False)],
)  # fmt: skip
def test_an_ipv4_address_is_one_client_and_a_64_of_ipv6(
    one: str, other: str, *, are_one: bool
) -> None:
    assert (neighbourhood(one, NOBODY) == neighbourhood(other, NOBODY)) is are_one


@pytest.mark.parametrize("text", ["", "/run/portal.sock", "unknown"])
def test_where_no_address_is_told_nobody_can_be_told_apart(text: str) -> None:
    assert neighbourhood(text, NOBODY) is None


def test_a_trusted_web_server_isn_t_its_clients() -> None:
    trusted = Trusted((read_network("10.0.0.0/8"),))
    assert neighbourhood("10.1.2.3", trusted) is None
    assert neighbourhood("::ffff:10.1.2.3", trusted) is None
    assert neighbourhood("11.1.2.3", trusted) is not None
