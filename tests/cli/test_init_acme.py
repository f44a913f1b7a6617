"""``init --acme``, as far as it goes without an authority (with one: ``tests/more/acme``)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from proxy.config.portal_yaml import load_config
from tests.certificates import DAY, authority
from tests.one_name import HOST, ONE_NAME
from tests.wire.harness.portals import reserve_port

if TYPE_CHECKING:
    from tests.cli.conftest import Home

INIT = ("init", "--name", "Ada", "--public-url", f"https://{HOST}", "--no-app-hosts")
_TERMS = "proxy.acme.issuing.terms_of"
_YAML = f"""\
{ONE_NAME}state: ../state
acme:
  agree: true
  directory: {{directory}}
  listen: "127.0.0.1:{{port}}"
"""


@pytest.fixture
def port80() -> Iterator[int]:
    """A port that stands for port 80."""
    holder, port = reserve_port()
    yield port
    holder.close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """A directory at a port where nobody listens."""
    holder, port = reserve_port()
    yield f"https://127.0.0.1:{port}/dir"
    holder.close()


@pytest.fixture
def asking(home: Home, nobody: str, port80: int) -> Home:
    """Ada's Portal, whose portal.yaml asks an authority that isn't there."""
    home.config.mkdir()
    (home.config / "portal.yaml").write_text(_YAML.format(directory=nobody, port=port80))
    return home


@pytest.fixture
def terms(monkeypatch: pytest.MonkeyPatch) -> str:
    """The terms of an authority that says nothing else."""
    url = "https://ca.example/terms"

    async def terms_of(_: object) -> str:
        return url

    monkeypatch.setattr(_TERMS, terms_of)
    return url


def test_terms_are_shown_and_nothing_is_made_until_they_are_agreed_to(
    home: Home, terms: str
) -> None:
    outcome = home.call(*INIT, "--acme")
    assert outcome.status == 2
    assert terms in outcome.stderr
    assert "--agree" in outcome.stderr
    assert not home.config.exists()
    assert not home.state.exists()


def test_portal_yaml_says_what_was_agreed_to(
    home: Home, terms: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cli.init.certify", lambda *_: None)
    outcome = home.call(
        *INIT, "--acme", "--agree", "--email", "ada@ada.example", "--directory",
        "https://ca.example/directory", PORTAL_ACME_LISTEN="127.0.0.1:0",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    text = (home.config / "portal.yaml").read_text()
    assert f"# To its terms, {terms}\n  agree: true\n" in text
    config = load_config(home.config, {})
    assert config.acme is not None
    assert config.acme.email == "ada@ada.example"
    assert config.acme.directory == "https://ca.example/directory"
    assert config.acme.listen.port == 80
    assert config.listen.public.port == 443


def test_without_acme_portal_yaml_says_how_to_get_it(home: Home) -> None:
    assert home.call(*INIT).status == 0
    config = load_config(home.config, {})
    assert config.acme is None
    assert config.listen.public.port == 8080
    assert "init --acme" in (home.config / "portal.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--acme", "--agree", "--directory", "http://ca.example/"), "--directory: "),
        (("--acme", "--agree", "--email", "ada"), "--email: "),
        (("--agree",), "are for --acme"),
        (("--email", "ada@ada.example"), "are for --acme"),
    ],
)
def test_options_that_cant_be_meant(
    home: Home, terms: str, words: tuple[str, ...], told: str
) -> None:
    del terms
    outcome = home.call(*INIT, *words)
    assert outcome.status != 0
    assert told in outcome.stderr
    assert not home.config.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--email", "ada"), "--email: "),
        (("--public-url", "http://portal.ada.example"), "--public-url: is plain http"),
        (("--public-url", "https://localhost"), "--public-url: no authority certifies localhost"),
    ],
)
def test_a_mistake_is_told_before_anybody_is_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(_TERMS, asked.append)
    outcome = home.call(*INIT, "--acme", "--agree", *words)
    assert outcome.status == 1
    assert told in outcome.reason
    assert not asked
    assert not home.config.exists()


@pytest.mark.parametrize(
    "said",
    [
        "https://ca.example/terms\ntrusted_proxies: [0.0.0.0/0]",
        "https://ca.example/terms\rtrusted_proxies: [0.0.0.0/0]",
        "https://ca.example/\x1b[2J",
        "https://ca.example/\u2028x",
        "https://ca.example/" + 500 * "x",
        "agree to everything",
    ],
)
def test_no_authority_writes_lines_into_portal_yaml(
    home: Home, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    async def terms_of(_: object) -> str:
        return said

    monkeypatch.setattr(_TERMS, terms_of)
    outcome = home.call(*INIT, "--acme", "--agree")
    assert outcome.status == 1
    assert "is no URL" in outcome.reason
    assert not home.config.exists()


def test_hosts_of_apps_need_a_list(home: Home, terms: str) -> None:
    del terms
    outcome = home.call(*INIT[:-1], "--acme", "--agree")
    assert outcome.status == 2
    assert "--no-app-hosts" in outcome.reason


def test_without_the_library_it_is_told_how_to_get_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    outcome = home.call(*INIT, "--acme")
    assert outcome.status == 1
    assert "pip install 'portal-proxy[acme]'" in outcome.reason


def test_beside_a_portal_yaml_that_asks_for_nothing_the_lines_are_shown(ada: Home) -> None:
    before = (ada.config / "portal.yaml").read_bytes()
    outcome = ada.call("init", "--acme")
    assert outcome.status == 1
    assert outcome.stdout.endswith("acme:\n  agree: true\n")
    assert "  public: " in outcome.stderr
    assert ':443"' in outcome.stderr
    assert (ada.config / "portal.yaml").read_bytes() == before


def test_an_authority_that_isnt_there_is_told_and_the_portal_is_made(asking: Home) -> None:
    outcome = asking.call("init", "--acme")
    assert outcome.status == 1
    assert "127.0.0.1 can't be reached" in outcome.stderr
    assert "Portal ID" in outcome.stdout
    assert not (asking.state / "acme" / "certificate.pem").exists()


def test_port_80_that_somebody_has_is_told(asking: Home, port80: int) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port80))
        other.listen()
        outcome = asking.call("init", "--acme")
    assert outcome.status == 1
    assert f"127.0.0.1:{port80} can't be used" in outcome.stderr
    assert "A web server there" in outcome.stderr


def test_a_certificate_that_will_do_is_left_alone(asking: Home) -> None:
    put(asking, HOST)
    before = (asking.state / "acme" / "certificate.pem").read_bytes()
    outcome = asking.call("init", "--acme")
    assert outcome.status == 0, outcome.stderr
    assert "There      " in outcome.stdout
    assert (asking.state / "acme" / "certificate.pem").read_bytes() == before


def test_one_for_another_name_is_asked_for_anew(asking: Home) -> None:
    put(asking, "other.example")
    outcome = asking.call("init", "--acme")
    assert outcome.status == 1
    assert "can't be reached" in outcome.stderr


@pytest.mark.parametrize("command", ["serve", "check"])
def test_who_has_none_yet_is_told_how_to_get_it(asking: Home, command: str) -> None:
    assert asking.call("init").status == 0
    outcome = asking.call(command)
    assert outcome.status == 1
    said = outcome.stdout + outcome.stderr
    assert "certificate.pem: isn't there yet; this gets it: portal-proxy init --acme" in said


def test_serve_init_asks_for_the_first_one(asking: Home) -> None:
    outcome = asking.call("serve", "--init")
    assert outcome.status == 1
    assert "Asking https://127.0.0.1:" in outcome.stderr
    assert "can't be reached" in outcome.stderr


def test_a_start_that_is_repeated_all_the_time_doesnt_ask_all_the_time(asking: Home) -> None:
    assert asking.call("serve", "--init").status == 1
    again = asking.call("serve", "--init")
    assert again.status == 1
    assert "Asking" not in again.stderr
    assert "can't be reached" in again.stderr
    assert "and at once by: portal-proxy init --acme" in again.stderr
    # Who asks for it is asked about.
    by_hand = asking.call("init", "--acme")
    assert "Asking https://127.0.0.1:" in by_hand.stderr


def put(home: Home, *names: str) -> None:
    chain, key = authority().issue(*names, ends=90 * DAY)
    (home.state / "acme").mkdir(mode=0o700, parents=True)
    home.state.chmod(0o700)
    path = home.state / "acme" / "certificate.pem"
    path.touch(0o600)
    path.write_bytes(chain + key)
