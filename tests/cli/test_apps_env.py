"""``apps env``: what it prints, and where it asks for the address as the app sees it."""

import json
import subprocess

import pytest

from tests.cli.conftest import Home
from tests.patience import PATIENCE


def listen_at(home: Home, address: str) -> None:
    path = home.config / "portal.yaml"
    text = path.read_text("utf-8")
    assert "apps: 127.0.0.1:8081" in text
    path.write_text(text.replace("apps: 127.0.0.1:8081", f"apps: {address}"), "utf-8")


def test_it_prints_what_a_shell_can_eval(ada_with_apps: Home) -> None:
    printed = ada_with_apps.call("apps", "env", "guestbook")
    token = ada_with_apps.call("apps", "token", "guestbook").stdout.strip()
    script = f'{printed.stdout}\necho "$HTTP_PROXY $PORTAL_TOKEN $NO_PROXY"'
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    excepted = "localhost,127.0.0.1,::1,*:443"
    assert done.stdout == f"http://guestbook:{token}@127.0.0.1:8081 {token} {excepted}\n"
    assert printed.stderr == ""


def test_as_json_and_as_an_env_file_it_is_the_same(ada_with_apps: Home) -> None:
    found = json.loads(ada_with_apps.call("apps", "env", "guestbook", "--json").stdout)
    lines = ada_with_apps.call("apps", "env", "guestbook", "--format", "env-file").stdout
    assert dict(line.split("=", 1) for line in lines.splitlines()) == found
    assert set(found) == {
        "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "PORTAL_CORE_URL", "PORTAL_TOKEN",
    }  # fmt: skip


def test_no_other_host_is_named_than_those_that_the_owner_names(ada_with_apps: Home) -> None:
    words = ("--no-proxy", "db,cache:6379", "--no-proxy", ".internal", "--json")
    found = json.loads(ada_with_apps.call("apps", "env", "guestbook", *words).stdout)
    assert found["NO_PROXY"].endswith("*:443,db,cache:6379,.internal")


@pytest.mark.parametrize("host", ["*", "portal_core", "db,shard_core", "a b", "", "$(x)", ".*"])
def test_what_would_keep_calls_from_the_proxy_or_is_no_host_is_refused(
    ada_with_apps: Home, host: str
) -> None:
    refused = ada_with_apps.call("apps", "env", "guestbook", "--no-proxy", host)
    assert (refused.status, refused.stdout) == (2, "")
    assert "--no-proxy" in refused.reason


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("0.0.0.0:8081", "--address 127.0.0.1:8081"),
        ("'[::]:8081'", "--address 127.0.0.1:8081"),
        ("unix:apps.sock", "--address HOST:PORT"),
        ("127.0.0.1:0", "--address HOST:PORT"),
    ],
)
def test_an_address_that_says_not_how_an_app_gets_there_is_asked_for(
    ada_with_apps: Home, address: str, told: str
) -> None:
    listen_at(ada_with_apps, address)
    refused = ada_with_apps.call("apps", "env", "guestbook")
    assert (refused.status, refused.stdout) == (1, "")
    assert told in refused.reason
    given = ada_with_apps.call("apps", "env", "guestbook", "--address", "proxy:8081", "--json")
    assert json.loads(given.stdout)["PORTAL_CORE_URL"] == "http://proxy:8081"


@pytest.mark.parametrize("address", ["proxy", "unix:x", "http://proxy:8081", "proxy:0", "a b:1"])
def test_an_address_that_is_none_is_refused(ada_with_apps: Home, address: str) -> None:
    refused = ada_with_apps.call("apps", "env", "guestbook", "--address", address)
    assert (refused.status, refused.stdout) == (2, "")
    assert "expected host:port" in refused.reason


def test_an_app_that_isnt_there_has_no_environment(ada_with_apps: Home) -> None:
    refused = ada_with_apps.call("apps", "env", "guestbok")
    assert refused.status == 1
    assert "did you mean guestbook?" in refused.reason


def test_a_peer_below_localhost_keeps_localhost_out_of_it(ada_with_apps: Home) -> None:
    peer = ada_with_apps.own_id()[::-1]
    added = ada_with_apps.call(
        "peers", "add", peer, "--name", "Bob", "--address", "http://bob.localhost:8080"
    )
    assert added.status == 0, added
    found = json.loads(ada_with_apps.call("apps", "env", "guestbook", "--json").stdout)
    assert found["NO_PROXY"] == "127.0.0.1,::1,*:443"


def test_check_knows_the_variables_that_are_an_apps(ada_with_apps: Home) -> None:
    variables = json.loads(ada_with_apps.call("apps", "env", "guestbook", "--json").stdout)
    checked = ada_with_apps.call("check", **variables)
    assert "PORTAL_TOKEN" not in checked.stdout + checked.stderr
    assert "PORTAL_TOKN" in ada_with_apps.call("check", PORTAL_TOKN="x").stdout
