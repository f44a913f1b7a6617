"""What an owner is told where no certificate could be got: each ends in what to do."""

from __future__ import annotations

import pytest

from proxy.acme.advice import advice
from proxy.acme.order import Failure, Order

ORDER = Order("https://ca.example:14000/dir", names=("portal.ada.example",))
CASES = {
    "connection": "port 80",
    "dns": "A or AAAA record",
    "unauthorized": "another machine",
    "incorrectResponse": "another machine",
    "rateLimited": "asked too often",
    "caa": "CAA record",
    "no_library": "pip install 'portal-proxy[acme]'",
    "unreachable": "acme.directory",
    "untrusted": "acme.authorities",
    "not_acme": "acme.directory",
    "disk": "state folder",
    "invalidContact": "acme.email",
    "unsupportedContact": "acme.email",
    "externalAccountRequired": "acme.directory",
    "somethingNew": "do what it says",
}


@pytest.mark.parametrize(("kind", "told"), CASES.items())
def test_each_failure_is_told_with_the_next_step(kind: str, told: str) -> None:
    text = advice(Failure(kind, "what it said"), ORDER, "http://0.0.0.0:80")
    assert told in text
    assert text.endswith("(what it said)")
    assert "{" not in text


def test_the_name_that_it_is_about_is_told() -> None:
    failure = Failure("dns", host="guestbook.ada.example")
    assert "guestbook.ada.example" in advice(failure, ORDER, "")
    assert "portal.ada.example" in advice(Failure("dns"), ORDER, "")


def test_a_closed_port_is_told_with_where_the_listener_is() -> None:
    text = advice(Failure("connection"), ORDER, "http://192.168.1.5:8080")
    assert "http://portal.ada.example/" in text
    assert "http://192.168.1.5:8080" in text


def test_what_strangers_say_reaches_no_terminal_as_it_is() -> None:
    text = advice(Failure("unauthorized", "got \x1b[2J\r\n{0.__class__}"), ORDER, "")
    assert text.isprintable()
    assert "{0.__class__}" in text
