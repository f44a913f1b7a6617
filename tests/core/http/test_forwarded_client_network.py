"""Which addresses are counted as one client's."""

import pytest

from proxy.core.http.forwarded import NOBODY, Trusted, client_network, read_network


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
    assert (client_network(one, NOBODY) == client_network(other, NOBODY)) is are_one


@pytest.mark.parametrize("text", ["", "/run/portal.sock", "unknown"])
def test_where_no_address_is_told_nobody_can_be_told_apart(text: str) -> None:
    assert client_network(text, NOBODY) is None


def test_a_trusted_web_server_isn_t_its_clients() -> None:
    trusted = Trusted((read_network("10.0.0.0/8"),))
    assert client_network("10.1.2.3", trusted) is None
    assert client_network("::ffff:10.1.2.3", trusted) is None
    assert client_network("11.1.2.3", trusted) is not None
