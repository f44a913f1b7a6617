"""For which hosts an app may set a cookie: its own, and those below it."""

import pytest

from proxy.core.http.set_cookie import reaches_beyond

_OWN = (b"notes.p.example", b"notes.alias.example")
_PASSING = [
    b"a=b", b"a=b; Path=/", b"a=b; Domain=notes.p.example", b"a=b;domain=NOTES.p.Example",
    b"a=b; DOMAIN = .notes.p.example ; Secure", b"a=b; Domain=x.notes.p.example",
    b"a=b; Domain=notes.alias.example", b"a=b; Domain=", b"a=b; Domain", b"a=b; Domain=\t",
    b'a=b; Domain="notes.p.example"', b"a=b; Domain=notes.p.example:8080", b"a=b; Domain=.",
    b"Domain=p.example", b"a=Domain=p.example", b"a=b; XDomain=p.example", b"domain; x=p.example",
    b"a=b; Path=/Domain=p.example", b"a=b; Comment=domain", b"a=b; Domain=..notes.p.example", b"a",
    b"",
]  # fmt: skip
_BEYOND = [
    b"a=b; Domain=p.example", b"a=b; Domain=.p.example", b"a=b;DOMAIN=P.EXAMPLE",
    b"a=b; \t domain \t = \t p.example \t", b"a=b; Domain=example", b"a=b; Domain=other.p.example",
    b"a=b; Domain=xnotes.p.example", b"a=b; Domain=p.example:8080", b'a=b; Domain="p.example"',
    b'a=b; Domain=" .p.example"', b"a=b; Domain=p.example.", b"a=b; Domain=..p.example",
    b"a=b; Domain=notes.p.example.", b"a=b; Domain=%70.example",
    # Browsers take the last one, others the first; an empty one counts for some of them only.
    b"a=b; Domain=notes.p.example; Domain=p.example", b"a=b; Domain=p.example; Domain=",
    b"a=b; Domain=p.example; Domain=notes.p.example", b"a=b; Domain=; Domain=p.example",
    # Browsers split at each semicolon.
    b'a="b; Domain=p.example"', b'a=b; Path="/; Domain=p.example', b"a=; ; ;Domain=p.example",
    b"=b; Domain=p.example", b"__Host-a=b; Domain=p.example", b"a=b; Domain=evil.example",
    b"a=b; Domain=127.0.0.1", b"a; Domain=p.example", b"a=b; Domain=\xef\xbd\x90.example",
    b"a=b;" + b";" * 60_000 + b"Domain=p.example", b"a=b;" + b" " * 60_000 + b"Domain=p.example",
    b"a=b; Domain==p.example",
]  # fmt: skip


@pytest.mark.parametrize("value", _PASSING)
def test_a_cookie_for_its_own_host_passes(value: bytes) -> None:
    assert not reaches_beyond(value, _OWN)


@pytest.mark.parametrize("value", _BEYOND)
def test_one_for_other_apps_doesnt(value: bytes) -> None:
    assert reaches_beyond(value, _OWN)
