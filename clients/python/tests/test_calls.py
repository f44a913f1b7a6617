"""What a call is made of: targets byte for byte, and where redirects lead."""

import pytest

from portal_peers import RedirectRefused
from portal_peers.calls import _target_of, call_target, peer_target

PEER = "abcdef"
OWN = f"/internal/call_peer/{PEER}"


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/", None, "/"),
        ("/a%2Fb/%7e~;x=1//c?", None, "/a%2Fb/%7e~;x=1//c?"),
        ("/%c3%A9?q=%zz&|", None, "/%c3%A9?q=%zz&|"),
        ("/x", {"q": "a b&c", "n": 1, "yes": True, "no": None}, "/x?q=a+b%26c&n=1&yes=true&no="),
        ("/x?a=1", [("b", ["2", "3"])], "/x?a=1&b=2&b=3"),
        (b"/x'\"", {}, "/x'\""),
    ],
)
def test_a_path_stays_as_it_is(path: str | bytes, params: object, expected: str) -> None:
    assert call_target(PEER, path, params).decode() == OWN + expected  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "x", "?x", "http://a/", "/a b", "/a#b", "/é", "/a\r\nb", "*"])
def test_what_is_no_path_is_sent_nowhere(path: str) -> None:
    with pytest.raises(ValueError, match="can't be a path"):
        call_target(PEER, path)


@pytest.mark.parametrize(
    "peer", ["", "abc", "../peers", "ABCDEF", "abcdef/x", "abcdef?", "a" * 104]
)
def test_what_is_no_id_is_sent_nowhere(peer: str) -> None:
    with pytest.raises(ValueError, match="isn't a Portal ID"):
        call_target(peer, "/")
    with pytest.raises(ValueError, match="isn't a Portal ID"):
        peer_target(peer)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (f"{OWN}/b?q#f", "/b?q"),
        ("/b", "/b"),
        ("b/c%2F", "/a/b/c%2F"),
        ("../b", "/b"),
        ("?q=2", "/a/x?q=2"),
        (f"http://portal_core{OWN}/b", "/b"),
        (f"http://shard_core:80{OWN}/b", "/b"),
        ("/internal/call_peer/abcdefgh/b", None),
    ],
)
def test_a_redirect_stays_at_the_same_app(location: str, expected: str | None) -> None:
    target = _target_of(f"{OWN}/a/x?y".encode(), location).decode()
    assert target == (location if expected is None else OWN + expected)


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "//evil.example/x",
        "http://portal_core/protected/peers",
        f"http://portal_core:81{OWN}/b",
        f"http://portal_core@evil.example{OWN}/b",
        f"https://portal_core{OWN}/b",
        "/internal/call_peer/bbbbbb/x",
        f"{OWN}x/../../bbbbbb/x",
        "../../../protected/peers",
        "../../bbbbbb/x",
        "javascript:1",
        "http://[",
        "/a\u00e9",
        "/a b",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str) -> None:
    with pytest.raises(RedirectRefused):
        _target_of(f"{OWN}/a/x".encode(), location)
