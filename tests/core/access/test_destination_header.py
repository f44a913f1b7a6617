"""``Destination`` in a call: it names the app as the app is told that it is asked."""

import pytest

from proxy.core.access.destination_header import at_told_origin, without_port
from proxy.core.access.hosts import Hosts
from proxy.core.http.origin import parse_origin

HOSTS = Hosts(parse_origin("https://8271dd.p.example:8443"), ("alias.example",))
TOLD = b"http://app.8271dd.p.example"


@pytest.mark.parametrize(
    ("given", "gets"),
    [
        (b"http://a.example/x", b"http://a.example/x"),
        (b"http://a.example:8443/x", b"http://a.example/x"),
        (b"http://a.example:/x", b"http://a.example/x"),
        (b"HTTPS://A.Example:1/x?y#z", b"HTTPS://A.Example/x?y#z"),
        (b"http://a.example:1", b"http://a.example"),
        (b"http://a.example:1?x", b"http://a.example?x"),
        (b"http://b.example:1/x", b"http://b.example:1/x"),
        (b"http://a.example.:1/x", b"http://a.example.:1/x"),
        (b"http://u@a.example:1/x", b"http://u@a.example:1/x"),
        (b"http://a.example:1@b.example/x", b"http://a.example:1@b.example/x"),
        (b"http://a.example:123456/x", b"http://a.example:123456/x"),
        (b"//a.example:1/x", b"//a.example:1/x"),
        (b"/x:1/", b"/x:1/"),
        (b"", b""),
    ],
)
def test_the_port_of_the_host_that_is_called_is_dropped(given: bytes, gets: bytes) -> None:
    fields = [(b"a", given), (b"destination", given), (b"destination", given)]
    assert without_port(fields, "a.example") == [
        (b"a", given),
        (b"destination", gets),
        (b"destination", gets),
    ]


@pytest.mark.parametrize(
    ("given", "gets"),
    [
        (b"http://app.8271dd.p.example/x", TOLD + b"/x"),
        (b"https://app.8271dd.p.example:8443/x%2F?y", TOLD + b"/x%2F?y"),
        (b"HTTP://App.8271DD.p.example/x", TOLD + b"/x"),
        (b"http://app.8271dd.p.example", TOLD),
        (b"http://app.alias.example:99/x", TOLD + b"/x"),
        (b"http://app.8271dd.p.example:99/x", b"http://app.8271dd.p.example:99/x"),
        (b"http://other.8271dd.p.example/x", b"http://other.8271dd.p.example/x"),
        (b"http://8271dd.p.example/x", b"http://8271dd.p.example/x"),
        (b"http://u@app.8271dd.p.example/x", b"http://u@app.8271dd.p.example/x"),
        (b"http://else.example/x", b"http://else.example/x"),
        (b"ftp://app.8271dd.p.example/x", b"ftp://app.8271dd.p.example/x"),
        (b"/x", b"/x"),
        (b"", b""),
    ],
)
def test_a_destination_of_the_apps_own_is_written_as_its_host_is(given: bytes, gets: bytes) -> None:
    fields = [(b"a", given), (b"destination", given)]
    assert at_told_origin(fields, "app", HOSTS, TOLD) == [(b"a", given), (b"destination", gets)]
