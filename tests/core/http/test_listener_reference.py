"""References to the listener that a call went through: read as the freest client reads them."""

import pytest

from proxy.core.http.listener_reference import CallersListener

_ID = "8271dd" + "x" * 97
_LISTENER = CallersListener({"portal_core", "shard_core"}, {"localhost", "127.0.0.1", "[::1]"}, _ID)
_OTHER = b"/internal/call_peer/other1/x"


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        (b"http://portal_core" + _OTHER, _OTHER),
        (b"HTTP://Portal_Core:80" + _OTHER, _OTHER),
        (b"http://portal_core:8081/x?a=/b\\#c\\", b"/x?a=/b\\#c\\"),
        (b"http://portal_core", b"/"),
        (b"http://portal_core?x", b"/?x"),
        (b"http://portal_core:", b"/"),
        (b"//shard_core/protected/peers", b"/protected/peers"),
        (b"///portal_core" + _OTHER, _OTHER),
        (b"http:////portal_core" + _OTHER, _OTHER),
        (b"http:\\\\portal_core\\internal\\call_peer\\other1\\x", _OTHER),
        (b"/\t/portal_core" + _OTHER, _OTHER),
        (b" ht\ttp:/\t/portal_core" + _OTHER, _OTHER),
        (b"http://user:pw@portal_core" + _OTHER, _OTHER),
        (b"http://evil.example@portal_core" + _OTHER, _OTHER),
        (b"http://a@b@portal_core" + _OTHER, _OTHER),
        (b"http://portal%5fcore" + _OTHER, _OTHER),
        (b"http://portal_core." + _OTHER, _OTHER),
        ("http://\uff50ortal_core".encode() + _OTHER, _OTHER),
        ("http://por\u00adtal_\u200bcore".encode() + _OTHER, _OTHER),
        ("http://portal\ufe0f_core".encode() + b"\xc2\xad" * 400 + _OTHER, _OTHER),
        # The called peer's own, but not as every client reads it, or another one's.
        (b"http://portal_core/internal/call_peer/8271dd/../other1/x",
         b"/internal/call_peer/8271dd/../other1/x"),
        (b"http://portal_core/internal/call_peer/8271dd/%2E%2e/other1",
         b"/internal/call_peer/8271dd/%2E%2e/other1"),
        (b"http://portal_core/internal/call_peer/8271dd/..\\other1",
         b"/internal/call_peer/8271dd/../other1"),
        (b"http://portal_core/internal/call_peer/8271ddother/x",
         b"/internal/call_peer/8271ddother/x"),
        (b"http://portal_core/internal/call_peer/8271/x", b"/internal/call_peer/8271/x"),
        (b"http://portal_core/internal/call_peer//x", b"/internal/call_peer//x"),
        # At the app's own machine, what is for callers alone.
        (b"http://127.0.0.1:8081" + _OTHER, _OTHER),
        (b"http://localhost/x/../protected/peers", b"/x/../protected/peers"),
        (b"http://localhost:9/internal/call%5Fpeer/other1", b"/internal/call%5Fpeer/other1"),
    ],
)  # fmt: skip
def test_what_names_the_listener(reference: bytes, path: bytes) -> None:
    assert _LISTENER.path_at(reference) == path


@pytest.mark.parametrize(
    "reference",
    [
        b"", b"/", b"/portal_core/x", b"portal_core", b"x", b"?//portal_core/", b"#//portal_core/",
        b"https://portal_core" + _OTHER,  # nobody answers there
        b"http://portal_core.example" + _OTHER, b"http://xportal_core/", b"http://a.portal_core/",
        b"http://portal_core@evil.example/", b"http://portal_core:x/", b"http://evil.example/@portal_core",
        b"http://evil.example" + _OTHER, b"ftp://portal_core/", b"http:portal_core/x",
        # The called peer's own: an app sends its caller back to where that wanted to return to.
        b"http://portal_core/internal/call_peer/8271dd/done?x=/../y",
        b"//portal_core/internal/call_peer/8271dd",
        b"http://shard_core:80/internal/call_peer/" + _ID.encode() + b"/a%2Fb",
        b"http://localhost:8081/internal/call_peer/8271dd/",
        # Another server on the app's own machine, such as who waits for the end of a log-in.
        b"http://127.0.0.1:51004/callback?code=/internal/call_peer/x", b"http://localhost/",
        b"//localhost:3000/x",
    ],
)  # fmt: skip
def test_what_doesnt(reference: bytes) -> None:
    assert _LISTENER.path_at(reference) is None


def test_a_long_one_costs_no_more_than_its_length() -> None:
    for piece in (b"/", b"@", b"//", b":", b"\\", b"a@", b"%2e/", "\ufdfa".encode()):
        reference = b"http://" + piece * 30_000
        assert _LISTENER.path_at(reference) is None
