"""The environment of an app: what is in it, how it is written, and what clients make of it."""

import subprocess
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import pytest
import requests

from proxy.cli.app_environment import as_env_file, as_shell, environment_of
from tests.patience import PATIENCE

TOKEN = "A-z_0" + "9" * 38
LISTENER = "127.0.0.1:8081"
VARIABLES = environment_of("chat", TOKEN, LISTENER)

TO_THE_PROXY = [
    "http://portal_core/protected/peers",
    "http://portal-core/protected/peers",
    "http://shard_core/protected/peers",
    "http://chat.8271dd.p.getportal.org/peer/",
    "http://chat.8271dd.p.getportal.org:8443/peer/",
]
PAST_IT = [
    "http://localhost:5984/_all_dbs",
    "http://127.0.0.1:5984/_all_dbs",
    "http://[::1]:5984/_all_dbs",
    "https://api.example/",
]


def test_the_token_goes_with_every_request_and_stands_alone_too() -> None:
    assert VARIABLES["HTTP_PROXY"] == f"http://chat:{TOKEN}@{LISTENER}"
    assert VARIABLES["http_proxy"] == VARIABLES["HTTP_PROXY"]
    assert VARIABLES["PORTAL_TOKEN"] == TOKEN
    assert VARIABLES["PORTAL_CORE_URL"] == f"http://{LISTENER}"
    assert VARIABLES["no_proxy"] == VARIABLES["NO_PROXY"]


def test_what_the_owner_names_goes_past_the_proxy_too() -> None:
    named = environment_of("chat", TOKEN, LISTENER, direct=["db", "127.0.0.1", "db"])
    assert named["NO_PROXY"].split(",").count("db") == 1
    assert named["NO_PROXY"].split(",").count("127.0.0.1") == 1


@pytest.mark.parametrize("host", ["portal.localhost", "8271dd.portal.localhost", "localhost"])
def test_localhost_isnt_named_where_peers_are_below_it(host: str) -> None:
    """Most clients compare the ends of names: such a call would reach the peer as a stranger's."""
    variables = environment_of("chat", TOKEN, LISTENER, peer_hosts=["a.example", host])
    assert "localhost" not in variables["NO_PROXY"]
    others = environment_of("chat", TOKEN, LISTENER, peer_hosts=["a.example", "notlocalhost"])
    assert "localhost" in others["NO_PROXY"].split(",")


def test_a_shell_takes_it_as_it_is_meant() -> None:
    # In a folder with files, a star that isn't quoted could become their names.
    odd = {**VARIABLES, "ODD": "it's $HOME `x` \\ *"}
    script = as_shell(odd) + 'printf "%s\\0" ' + " ".join(f'"${name}"' for name in odd)
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.decode().split("\0")[:-1] == list(odd.values())


def test_an_env_file_needs_no_quotes() -> None:
    lines = as_env_file(VARIABLES).splitlines()
    assert dict(line.split("=", 1) for line in lines) == VARIABLES
    assert not set("\"'$#\\ ") & set("".join(VARIABLES.values()))


@pytest.fixture
def _in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_in_it")
@pytest.mark.parametrize(
    ("address", "through"),
    [(each, True) for each in TO_THE_PROXY] + [(each, False) for each in PAST_IT],
)
def test_clients_agree_on_what_is_for_the_proxy(address: str, through: bool) -> None:  # noqa: FBT001 - a column
    if "[" not in address:  # urllib compares an IPv6 address with its brackets, which no other does
        assert _by_urllib(address) is through
    assert _by_requests(address) is through
    assert _by_httpx(address) is through


def _by_urllib(address: str) -> bool:
    split = urlsplit(address)
    proxies = getproxies()
    return split.scheme in proxies and not proxy_bypass(split.netloc)


def _by_requests(address: str) -> bool:
    proxies = requests.utils.get_environ_proxies(address)
    return requests.utils.select_proxy(address, proxies) is not None


def _by_httpx(address: str) -> bool:
    with httpx.Client() as client:
        transport = client._transport_for_url(httpx.URL(address))
        return transport is not client._transport
