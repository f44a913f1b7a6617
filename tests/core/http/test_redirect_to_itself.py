"""Which redirect leads to what was asked, but for the scheme or the port."""

import pytest

from proxy.core.http.redirect_to_itself import find_redirect_to_itself

_TARGET = b"/peer/x%2F?y=%20/z"
_HOST = b"notes.bob.example"


def _found(
    location: bytes,
    *,
    method: bytes = b"GET",
    target: bytes = _TARGET,
    status: int = 302,
    told: bytes = _HOST,
    scheme: str = "http",
) -> bytes | None:
    fields = [(b"content-type", b"text/html"), (b"location", location)]
    return find_redirect_to_itself(
        method,
        target,
        status,
        fields,
        scheme="https" if scheme == "https" else "http",
        authorities=(told, b"app.internal:8000"),
    )


@pytest.mark.parametrize(
    "host",
    [
        b"https://notes.bob.example",
        b"HTTPS://Notes.Bob.Example",
        b"https://notes.bob.example:443",
        b"https://notes.bob.example:",
        b"https://notes.bob.example:80",
        b"https://notes.bob.example:8443",
        b"http://notes.bob.example:8443",
        b"http://notes.bob.example:443",
        b"//notes.bob.example:8443",
        b"https://app.internal:8000",
        b"http://app.internal",
        b"//app.internal",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT"])
@pytest.mark.parametrize("status", [300, 301, 302, 307, 308])
def test_it_is_one_where_scheme_or_port_is_another(host: bytes, method: bytes, status: int) -> None:
    for location in (host + _TARGET, host + _TARGET + b"#there"):
        assert _found(location, method=method, status=status) == location


@pytest.mark.parametrize(
    "location",
    [
        # What was asked, as it was asked: perhaps with a cookie, the next time.
        b"http://notes.bob.example" + _TARGET,
        b"http://notes.bob.example:80" + _TARGET,
        b"//NOTES.bob.example" + _TARGET,
        b"http://app.internal:8000" + _TARGET,
        _TARGET,
        b"?y=%20/z",
        b"",
        # Something else.
        b"https://notes.bob.example" + _TARGET + b"/",
        b"https://notes.bob.example" + _TARGET + b"&a",
        b"https://notes.bob.example/x" + _TARGET,
        b"https://notes.bob.example/" + _TARGET,
        b"https://notes.bob.example/peer/x%2f?y=%20/z",
        b"https://notes.bob.example/peer/x%2F",
        b"https://notes.bob.example/",
        b"https://notes.bob.example",
        # Somebody else.
        b"https://notes.bob.example.evil.example" + _TARGET,
        b"https://bob.example" + _TARGET,
        b"https://user@notes.bob.example" + _TARGET,
        b"https://notes.bob.example:443@evil.example" + _TARGET,
        b"https://notes.bob.example\\" + _TARGET,
        b"https://evil.example\\@notes.bob.example" + _TARGET,
        b"https://notes.bob.example." + _TARGET,
        b"https:///notes.bob.example" + _TARGET,
        b"https:" + _TARGET,
        b"ftp://notes.bob.example" + _TARGET,
        b"https://n\xc3\xb6tes.bob.example" + _TARGET,
        b"https://[::1]" + _TARGET,
        b" https://notes.bob.example" + _TARGET,
    ],
)
def test_any_other_is_none(location: bytes) -> None:
    assert _found(location) is None


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"https://notes.bob.example", b"/"),
        (b"https://notes.bob.example/", b"/"),
        (b"https://notes.bob.example#x", b"/"),
        (b"https://notes.bob.example?x", b"/?x"),
        (b"https://notes.bob.example//x", b"//x"),
    ],
)
def test_an_empty_path_is_a_slash(location: bytes, target: bytes) -> None:
    assert _found(location, target=target) == location


@pytest.mark.parametrize(
    ("location", "is_one"),
    [
        (b"https://notes.bob.example:8443", False),
        (b"//notes.bob.example:8443", False),
        (b"https://notes.bob.example", True),
        (b"http://notes.bob.example:8443", True),
        (b"http://notes.bob.example", True),
    ],
)
def test_where_the_app_is_told_https_that_is_what_was_asked(
    location: bytes, *, is_one: bool
) -> None:
    found = _found(location + _TARGET, told=b"notes.bob.example:8443", scheme="https")
    assert (found is not None) is is_one


@pytest.mark.parametrize(
    ("method", "status"),
    [(b"POST", 303), (b"DELETE", 303), (b"GET", 200), (b"POST", 201), (b"GET", 304), (b"GET", 400)],
)
def test_what_isnt_asked_again_is_none(method: bytes, status: int) -> None:
    location = b"https://notes.bob.example" + _TARGET
    assert _found(location, method=method, status=status) is None


def test_any_of_several_lines_is_one() -> None:
    fields = [(b"location", b"/x"), (b"location", b"https://notes.bob.example/y")]
    found = find_redirect_to_itself(b"GET", b"/y", 307, fields, scheme="http", authorities=(_HOST,))
    assert found == b"https://notes.bob.example/y"
