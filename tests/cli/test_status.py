"""``status`` without a proxy, and where another one answers: what the files alone tell."""

import json

import pytest

from tests.cli.conftest import Home


def test_without_a_proxy_it_tells_what_the_files_do(ada: Home) -> None:
    said = ada.call("status")
    assert (said.status, said.stderr) == (1, "")
    first, *rest = said.stdout.splitlines()
    assert first == f"Ada  {ada.own_id()[:6]}"
    assert "  Proxy     doesn't run: no proxy was started here yet" in rest
    assert "  Backup    never made: portal-proxy backup FILE" in rest


def test_a_program_gets_the_same(ada: Home) -> None:
    said = ada.call("status", "--json")
    found = json.loads(said.stdout)
    assert said.status == 1
    assert (found["runs"], found["id"], found["name"]) == (False, ada.own_id(), "Ada")
    assert found["backup"] is None


def test_nothing_listens_any_more(ada: Home) -> None:
    (ada.state / "owner.token").write_text("t" * 43)
    (ada.state / "owner.token").chmod(0o600)
    said = ada.call("status", PORTAL_LISTEN_OWNER="unix:owner.sock")
    assert "doesn't run: nothing answers at the owner's listener" in said.stdout


def test_a_token_that_others_could_read_is_told(ada: Home) -> None:
    (ada.state / "owner.token").write_text("t" * 43)
    (ada.state / "owner.token").chmod(0o644)
    said = ada.call("status")
    assert (said.status, "chmod" in said.reason) == (1, True)


def test_a_key_that_is_gone_hides_nothing_else(ada: Home) -> None:
    (ada.state / "identity.key").unlink()
    assert ada.call("status").stdout.startswith("Ada  ")


@pytest.mark.parametrize("words", [["--watch"]])
def test_watching_is_for_a_terminal_or_a_program(ada: Home, words: list[str]) -> None:
    said = ada.call("status", *words)
    assert (said.status, "--json --watch" in said.reason) == (2, True)
