"""Where the Portal is, by the environment; the token goes nowhere else."""

from pathlib import Path

import pytest

from portal_peers import NotConfigured, Portal, Settings, from_environment
from portal_peers.settings import current, settings_everywhere, settings_for, settings_here

PROXY = "http://box:s3cret@10.0.0.1:8081"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Settings("http://portal_core")),
        ({"PORTAL_TOKEN": "t"}, Settings("http://portal_core", token="t")),
        (
            {"PORTAL_CORE_URL": "http://a:8081/", "PORTAL_TOKEN": "t", "HTTP_PROXY": PROXY},
            Settings("http://a:8081", token="t"),
        ),
        ({"PORTAL_CORE_URL": "http://[::1]:81"}, Settings("http://[::1]:81")),
        ({"PORTAL_CORE_URL": "unix:/run/p.sock"}, Settings(socket="/run/p.sock")),
        (
            {"PORTAL_CORE_URL": "http://a", "PORTAL_TOKEN_FILE": "/run/t"},
            Settings("http://a", token_file="/run/t"),
        ),
        ({"HTTP_PROXY": PROXY}, Settings("http://10.0.0.1:8081", token="s3cret")),
        (
            {"HTTP_PROXY": PROXY, "PORTAL_TOKEN": "s3cret"},
            Settings("http://10.0.0.1:8081", token="s3cret"),
        ),
        ({"http_proxy": "box:a%2Fb@h:1"}, Settings("http://h:1", token="a/b")),
        # Somebody else's proxy: without a token, of another kind, or what a CGI client sent.
        ({"HTTP_PROXY": "http://proxy.example:3128"}, Settings("http://portal_core")),
        ({"HTTP_PROXY": "socks5://u:p@proxy.example"}, Settings("http://portal_core")),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, Settings("http://portal_core")),
    ],
)
def test_the_environment_tells_where(environ: dict[str, str], expected: Settings) -> None:
    assert from_environment(environ) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {"PORTAL_TOKEN": "mine", "HTTP_PROXY": PROXY},
        {"PORTAL_TOKEN_FILE": "/run/t", "HTTP_PROXY": PROXY},
        {"PORTAL_CORE_URL": "https://a:8081"},
        {"PORTAL_CORE_URL": "http://box:t@a:8081"},
        {"PORTAL_CORE_URL": "http://a:8081/path"},
        {"PORTAL_CORE_URL": "a:8081"},
        {"PORTAL_CORE_URL": "http://a:99999"},
        {"PORTAL_CORE_URL": "unix:p.sock"},
        {"PORTAL_CORE_URL": "http://a", "PORTAL_TOKEN": "two\r\nlines"},
        {"PORTAL_CORE_URL": "http://a", "PORTAL_TOKEN": "t", "PORTAL_TOKEN_FILE": "/run/t"},
        {"HTTP_PROXY": "http://a:b@[::1"},
    ],
)
def test_what_could_send_a_token_elsewhere_is_an_error(environ: dict[str, str]) -> None:
    with pytest.raises(NotConfigured) as caught:
        from_environment(environ)
    assert "s3cret" not in str(caught.value)
    assert "two" not in str(caught.value)


def test_no_token_shows() -> None:
    assert "s3cret" not in repr(settings_for("http://a", "s3cret"))
    with Portal("http://a", token="s3cret") as portal:
        assert "s3cret" not in repr(portal)


def test_the_environments_token_is_not_for_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_TOKEN", "mine")
    with Portal("http://elsewhere:1") as portal:
        assert portal._transport._token == ""


def test_a_token_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = settings_for("http://a", token_file=str(file))
    with pytest.raises(NotConfigured, match="can't be read"):
        settings.read_token()
    file.write_text("abc\n", "ascii")
    assert settings.read_token() == "abc"
    file.write_text("a b\n", "ascii")
    with pytest.raises(NotConfigured, match="isn't a token"):
        settings.read_token()


def test_what_holds_here_comes_before_what_holds_everywhere() -> None:
    here, everywhere = Settings("http://a"), Settings("http://b")
    with settings_everywhere(everywhere):
        assert current() == everywhere
        with settings_here(here):
            assert current() == here
    assert current() not in (here, everywhere)
