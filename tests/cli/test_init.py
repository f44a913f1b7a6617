"""``init`` and ``id``."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.config.portal_yaml import load_config
from proxy.core.identity import is_portal_id
from proxy.state.identity_key import load_identity
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from tests.cli.conftest import Home

CLEAN = "Accepted: sealed and signed calls.\nNo problems found.\n"
INIT = ("init", "--name", "Ada", "--domain", "p.getportal.org")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_init_makes_a_portal_that_check_finds_nothing_wrong_with(home: Home) -> None:
    outcome = home.run(*INIT)
    portal_id = home.run("id").stdout
    assert outcome.status == 0
    assert is_portal_id(portal_id.removesuffix("\n"))
    assert f"Portal ID  {portal_id}" in outcome.stdout
    assert f"Address    https://{portal_id[:6]}.p.getportal.org\n" in outcome.stdout
    assert f"Card       {home.run('card').stdout}" in outcome.stdout
    assert outcome.stderr.endswith("Next: portal-proxy check; then: portal-proxy serve\n")
    checked = home.run("check")
    # It can't know yet what will stand in front. Of descriptors this machine may have too few. And
    # nobody had the time for a backup.
    later = (
        "warning: config/portal.yaml: limits.connections",
        "warning: state/identity.key: this identity was never backed up",
    )
    said = checked.stdout.splitlines(keepends=True)
    notice, *rest = [line for line in said if not line.startswith(later)]
    assert notice.startswith("notice: ")
    assert (checked.status, "".join(rest)) == (0, CLEAN)


def test_init_makes_secrets_for_the_owner_alone(home: Home) -> None:
    home.run(*INIT, stdin="")
    assert mode_of(home.config / "portal.yaml") == 0o644
    assert mode_of(home.state) == 0o700
    for name in ("identity.key", "contacts.yaml", "replay.sqlite3"):
        assert mode_of(home.state / name) == 0o600, name


def test_a_second_init_changes_nothing(ada: Home) -> None:
    before = contents(ada.config) | contents(ada.state)
    outcome = ada.call("init")
    after = contents(ada.config) | contents(ada.state)
    assert outcome.status == 0
    del before["replay.sqlite3"], after["replay.sqlite3"]  # it notes when it was opened
    assert after == before
    assert "Made" not in outcome.stdout


def test_init_beside_a_portal_yaml_needs_no_options_and_leaves_it_alone(home: Home) -> None:
    home.config.mkdir()
    given = home.config / "portal.yaml"
    text = "id: new\nname: Bob\ndomain: portal.localhost\npublic_url: http://{short_id}.x:8080\n"
    given.write_text(text)
    given.chmod(0o444)
    home.config.chmod(0o555)
    outcome = home.call("init")
    home.config.chmod(0o755)
    assert outcome.status == 0
    assert f"Address    http://{home.own_id()[:6]}.x:8080\n" in outcome.stdout
    assert contents(home.config) == {"portal.yaml": given.read_bytes()}
    assert mode_of(given) == 0o444


@pytest.mark.parametrize("option", [("--name", "Bob"), ("--domain", "elsewhere.test")])
def test_an_option_that_has_no_effect_is_said_to_have_none(
    ada: Home, option: tuple[str, str]
) -> None:
    outcome = ada.call("init", *option)
    assert outcome.status == 0
    assert f"{option[0]} {option[1]} is ignored" in outcome.stderr
    assert load_config(ada.config).name == "Ada"


def test_options_that_agree_with_portal_yaml_are_passed_over_in_silence(ada: Home) -> None:
    assert "ignored" not in ada.call(*INIT).stderr


def test_a_domain_is_the_same_in_any_case(home: Home) -> None:
    words = ["init", "--name", "Ada", "--domain", "P.GetPortal.org"]
    assert home.call(*words).status == 0
    assert load_config(home.config).domain == "p.getportal.org"
    assert "ignored" not in home.call(*words).stderr


@pytest.mark.parametrize("words", [[], ["--name", "Ada"], ["--domain", "p.getportal.org"]])
def test_without_portal_yaml_name_and_domain_are_needed(home: Home, words: list[str]) -> None:
    outcome = home.run("init", *words)
    assert outcome.status == 2
    assert "--name and --domain are needed" in outcome.reason
    assert list(home.path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["", " ", "x" * 65, "x\r\nX-Ptl-Client-Type: terminal", "a\x00", "\u202eadA", "a\x1b[2J"],
)
def test_a_name_that_could_deceive_is_refused_and_nothing_made(home: Home, name: str) -> None:
    outcome = home.call("init", "--name", name, "--domain", "p.getportal.org")
    assert outcome.status == 1
    assert "--name: " in outcome.reason
    assert outcome.stderr.removesuffix("\n").isprintable()
    assert list(home.path.iterdir()) == []


@pytest.mark.parametrize(
    "domain",
    ["", "a..b", "https://p.getportal.org", "127.0.0.1", "p_x.org", "a" * 250, "x.org\nname: y"],
)
def test_what_is_no_domain_is_refused_and_nothing_made(home: Home, domain: str) -> None:
    outcome = home.call("init", "--name", "Ada", "--domain", domain)
    assert outcome.status == 1
    assert "--domain: " in outcome.reason
    assert list(home.path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["Ada: #1", "'\"\\", "- x", "Zoë Ünal", "yes", "123456", "{a}", "&b", "你好"]
)
def test_a_name_is_kept_as_it_was_typed(home: Home, name: str) -> None:
    assert home.call("init", "--name", name, "--domain", "p.getportal.org").status == 0
    assert load_config(home.config).name == name


def test_several_inits_at_once_agree_on_one_key(home: Home) -> None:
    command = [sys.executable, "-m", "proxy", *INIT, "--config", str(home.config)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outcomes = [(*process.communicate(timeout=PATIENCE), process.returncode) for process in running]
    portal_id = load_identity(home.state / "identity.key").public.portal_id
    for stdout, stderr, status in outcomes:
        assert status == 0, stderr
        assert portal_id in stdout
    assert "".join(stdout for stdout, _, _ in outcomes).count("identity.key") == 1


def test_init_never_replaces_a_key_that_it_refuses(ada: Home) -> None:
    key = ada.state / "identity.key"
    key.chmod(0o644)
    before = key.read_bytes()
    outcome = ada.call("init")
    assert outcome.status == 1
    assert "chmod 0600" in outcome.reason
    assert key.read_bytes() == before


def test_a_state_folder_that_cannot_be_made_is_a_reason_and_no_traceback(home: Home) -> None:
    home.config.mkdir()
    (home.config / "portal.yaml").write_text("name: Ada\ndomain: a.test\nstate: file/state\n")
    (home.config / "file").write_text("")
    outcome = home.run("init")
    assert outcome.status == 1
    assert "Not a directory" in outcome.reason


def test_a_portal_yaml_with_mistakes_is_reported_whole(home: Home) -> None:
    home.config.mkdir()
    (home.config / "portal.yaml").write_text("nmae: Ada\ndomain: a..b\n")
    outcome = home.run("init")
    assert outcome.status == 1
    assert "nmae" in outcome.stderr
    assert "domain" in outcome.stderr
    assert not home.state.exists()


def test_id_before_init_says_what_to_do(home: Home) -> None:
    outcome = home.run("id")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert "portal-proxy init" in outcome.reason


def test_the_portal_yaml_that_init_writes_names_every_setting(ada: Home) -> None:
    text = (ada.config / "portal.yaml").read_text()
    for key in ("name", "domain", "public_url", "app_hosts", "aliases", "accept",
                "sealing_rotation", "state", "listen"):  # fmt: skip
        assert f"{key}:" in text
    assert json.dumps("Ada") in text


ONE_NAME = ("init", "--name", "Ada", "--public-url", "https://portal.ada.example:8443",
            "--no-app-hosts")  # fmt: skip


def test_a_portal_that_has_one_name_alone(home: Home) -> None:
    assert "Address    https://portal.ada.example:8443\n" in home.run(*ONE_NAME).stdout
    config = load_config(home.config)
    assert (config.app_hosts, config.domain) == (False, "portal.ada.example")
    checked = home.run("check")
    assert checked.status == 0
    assert "sealed calls alone; signed ones are refused, since they name apps' hosts" in (
        checked.stdout
    )
    again = home.run("init", "--public-url", "https://other.example")
    assert "--public-url https://other.example is ignored" in again.stderr


def test_an_address_of_ones_own_may_have_hosts_for_apps(home: Home) -> None:
    url = "https://{short_id}.ada.example"
    home.run("init", "--name", "Ada", "--public-url", url)
    config = load_config(home.config)
    assert (config.app_hosts, config.domain, config.public_url) == (True, "ada.example", url)
    assert "--no-app-hosts is ignored" in home.run(*ONE_NAME).stderr


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("portal.ada.example", "--public-url: expected https://host[:port]"),
        ("https://a.example/path", "--public-url: expected https://host[:port]"),
        ("https://a.example\nid: new", "--public-url: expected https://host[:port]"),
        ("https://192.0.2.1", "--public-url: has an address for a host; then --domain"),
    ],
)
def test_what_is_no_address_is_refused_and_nothing_made(home: Home, url: str, reason: str) -> None:
    outcome = home.run("init", "--name", "Ada", "--public-url", url)
    assert outcome.status == 1
    assert reason in outcome.reason
    assert not home.config.exists()
