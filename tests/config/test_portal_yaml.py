"""portal.yaml: defaults, every key, and every problem at once."""

import os
from pathlib import Path

import pytest

from proxy.config.limits import Limits
from proxy.config.listen import Address, Listen, parse_address
from proxy.config.portal_yaml import Config, Tls, load_config
from proxy.config.timeouts import Timeouts
from proxy.core.errors import Invalid
from proxy.core.http.origin import Origin
from proxy.core.rates import Rate

_ID = "8271dd" + "a" * 97


def _load(folder: Path, text: str) -> Config:
    (folder / "portal.yaml").write_text(text, "utf-8")
    return load_config(folder)


def _problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        _load(folder, text)
    assert {problem.file for problem in caught.value.problems} == {str(folder / "portal.yaml")}
    return [f"{problem.place}: {problem.what}" for problem in caught.value.problems]


def test_a_name_and_a_domain_are_enough(tmp_path: Path) -> None:
    assert _load(tmp_path, "name: Ada\ndomain: p.getportal.org\n") == Config(
        folder=tmp_path,
        id=None,
        name="Ada",
        domain="p.getportal.org",
        public_url="https://{short_id}.p.getportal.org",
        aliases=(),
        accept=frozenset({"sealed", "signed"}),
        sealing_rotation=86_400,
        state=tmp_path.parent / "state",
        listen=Listen(
            public=Address("0.0.0.0", 8080),
            apps=Address("127.0.0.1", 8081),
            owner=Address("127.0.0.1", 8082),
        ),
    )


def test_every_key_is_read(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        """\
name: 123456
domain: Portal.Localhost
public_url: http://{short_id}.portal.localhost:9080
aliases: [Tunnel.example, "tunnel.example:8443"]
accept: [sealed]
sealing_rotation: 90m
state: /var/lib/portal
listen:
  public: "[::]:0"
  apps: unix:run/apps.sock
  apps_mode: 0660
  owner: LOCALHOST:8082
tls: {certificate: tls/fullchain.pem, key: /etc/portal/privkey.pem}
timeouts:
  head: 5s
  idle: 2m
  client_body: 10m
  client_send: 1.5m
  app_connect: 0.5
  app_answer: 1h
  peer_connect: 3
  peer_answer: 7d
limits:
  body: 1.5 GiB
  held_body: 1048576
  connections: 100
  connections_per_address: 10
  requests_per_peer: 5
  requests_per_app: 50
  rate_per_client: 20/s burst 100
  rate_per_peer: 600/m
  rate_per_app: off
  websocket_message: 1MiB
grace: 30
trusted_proxies: [10.0.0.0/8, "2001:db8::/32", "::ffff:192.168.1.5", unix]
log: text
""",
    )
    assert config.name == "123456"
    assert config.domain == "portal.localhost"
    assert config.aliases == ("tunnel.example", "tunnel.example:8443")
    assert config.accept == frozenset({"sealed"})
    assert config.sealing_rotation == 5400
    assert config.state == Path("/var/lib/portal")
    assert config.listen.public == Address("[::]", 0)
    assert config.listen.apps == Address(unix=str(tmp_path / "run/apps.sock"), mode=0o660)
    assert config.listen.owner == Address("localhost", 8082)
    assert config.public_origin(_ID) == Origin("http", "8271dd.portal.localhost", 9080)
    assert config.tls == Tls(tmp_path / "tls/fullchain.pem", Path("/etc/portal/privkey.pem"))
    assert config.timeouts == Timeouts(
        head=5,
        idle=120,
        client_body=600,
        client_send=90,
        app_connect=0.5,
        app_answer=3600,
        peer_connect=3,
        peer_answer=604_800,
    )
    assert config.limits == Limits(
        body=3 << 29,
        held_body=1 << 20,
        connections=100,
        connections_per_address=10,
        requests_per_peer=5,
        requests_per_app=50,
        rate_per_client=Rate(20, "s", 100),
        rate_per_peer=Rate(600, "m", 600),
        websocket_message=1 << 20,
    )
    assert config.grace == 30
    assert [str(network) for network in config.trusted_proxies.networks] == [
        "10.0.0.0/8",
        "2001:db8::/32",
        "192.168.1.5/32",
    ]
    assert config.trusted_proxies.unix
    assert config.log == "text"


def test_nobody_is_believed_and_the_log_finds_its_form_by_default(tmp_path: Path) -> None:
    for more in ("", "trusted_proxies: []\n"):
        config = _load(tmp_path, f"name: Ada\ndomain: p.getportal.org\n{more}")
        assert not config.trusted_proxies
        assert config.log == "auto"


def test_the_public_origin_is_derived_from_the_domain(tmp_path: Path) -> None:
    config = _load(tmp_path, "name: Ada\ndomain: p.getportal.org\n")
    assert str(config.public_origin(_ID)) == "https://8271dd.p.getportal.org"


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = """\
domain: a_b.example
public_ulr: https://x
public_url: https://{id}.example
aliases: [http://a, ok.example, a/]
accept: [seled]
sealing_rotation: 5m
state: ''
listen:
  public: 8080
  appz: 127.0.0.1:1
  owner: 127.0.0.1:65536
"""
    assert sorted(_problems(tmp_path, text)) == [
        "accept[0]: expected 'sealed' or 'signed', not 'seled'",
        "aliases[0]: expected host or host:port, not 'http://a'",
        "aliases[2]: expected host or host:port, not 'a/'",
        "domain: expected a domain such as p.getportal.org, not 'a_b.example'",
        "listen.appz: isn't known; did you mean apps?",
        "listen.owner: expected host:port or unix:path, not '127.0.0.1:65536'",
        "listen.public: expected host:port or unix:path, not '8080'",
        "name: is missing",
        "public_ulr: isn't known; did you mean public_url?",
        (
            "public_url: expected https://host[:port] or http://host[:port], "
            "not 'https://{id}.example'; the host may hold {short_id}"
        ),
        "sealing_rotation: expected a time from 10m to 30d, such as 24h, not '5m'",
        "state: expected a path",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('name: "x\\u202e"', "name: a name has no invisible or control characters, such as U+202E"),
        ("name:", "name: a name has at least one character that can be seen"),
        ("domain: 127.0.0.1", "domain: expected a domain such as p.getportal.org, not '127.0.0.1'"),
        ("domain: p.getportal.org.", "domain: expected a domain such as"),
        (f"domain: {'a.' * 100}org", "domain: expected at most 182 characters"),
        ("public_url: https://a/path", "public_url: expected https://host[:port]"),
        ("public_url: ftp://a", "public_url: expected https://host[:port]"),
        ("public_url: https://a:{short_id}", "public_url: expected https://host[:port]"),
        ("public_url: https://u@a", "public_url: expected https://host[:port]"),
        ("accept: []", "accept: expected sealed, signed or both"),
        ("accept: signed", "accept: expected a list, not 'signed'"),
        ("sealing_rotation: 31d", "sealing_rotation: expected a time from 10m to 30d"),
        ("sealing_rotation: 599", "sealing_rotation: expected a time from 10m to 30d"),
        ("sealing_rotation: 2592001s", "sealing_rotation: expected a time from 10m to 30d"),
        ("sealing_rotation: 600.5", "sealing_rotation: expected whole seconds, such as 24h, not"),
        ("sealing_rotation: 24H", "sealing_rotation: expected a time from 10m to 30d"),
        ("sealing_rotation: '\u0662h'", "sealing_rotation: expected a time from 10m to 30d"),
        ("sealing_rotation:", "sealing_rotation: expected a time from 10m to 30d"),
        ("sealing_rotation: [1d]", "sealing_rotation: expected a time from 10m to 30d, such as"),
        ("aliases: [[a]]", "aliases[0]: expected text, not a list"),
        ("listen: x", "listen: expected keys with values, not 'x'"),
        ("listen: {public: [a]}", "listen.public: expected host:port or unix:path"),
        (
            "listen: {public: ':8080'}",
            "listen.public: expected host:port or unix:path, not ':8080'",
        ),
        ("listen: {public: 'unix:'}", "listen.public: expected a path after unix:"),
        (
            f"listen: {{apps: 'unix:{'a' * 108}'}}",
            "listen.apps: expected a path of at most 107 bytes",
        ),
        ("listen: {apps: 'unix:a', apps_mode: '0640'}", "listen.apps_mode: expected 0600, 0660"),
        ("listen: {owner_mode: [a]}", "listen.owner_mode: expected 0600, 0660 (your group, too)"),
        (
            "listen: {public_mode: 0666}",
            "listen.public_mode: is for a socket's file, and public is at 0.0.0.0:8080",
        ),
        ("tls: {certificate: a}", "tls.key: is missing"),
        ("tls: {certificate: a, key: ''}", "tls.key: expected a path"),
        ("tls: {certificate: a, key: b, ca: c}", "tls.ca: isn't known; expected certificate or ke"),
        ("timeouts: {head: 0}", "timeouts.head: expected a time from 1s to 10m, such as 30s, not"),
        ("timeouts: {idle: 25h}", "timeouts.idle: expected a time from 1s to 1d, such as 30s, not"),
        ("timeouts: {client_body: 0}", "timeouts.client_body: expected a time from 0.1s to 7d"),
        ("timeouts: {client_send: 8d}", "timeouts.client_send: expected a time from 0.1s to 7d"),
        ("timeouts: {app_connect: 1ms}", "timeouts.app_connect: expected a time from 0.1s to 1h"),
        ("timeouts: {app_answer: -1}", "timeouts.app_answer: expected a time from 0.1s to 7d"),
        ("timeouts: {peer_answer: [1]}", "timeouts.peer_answer: expected a time from 0.1s to 7d"),
        ("timeouts: {aap_answer: 1}", "timeouts.aap_answer: isn't known; did you mean app_answer?"),
        ("limits: {body: 0}", "limits.body: expected a size from 1 KiB to 100 TiB, such as"),
        ("limits: {body: 5 GB}", "limits.body: expected a size from 1 KiB to 100 TiB"),
        ("limits: {body: none}", "limits.body: expected a size from 1 KiB to 100 TiB"),
        ("limits: {held_body: 5 GiB}", "limits.held_body: expected a size from 1 KiB to 4 GiB"),
        ("limits: {websocket_message: [1]}", "limits.websocket_message: expected a size from 1"),
        ("limits: {connections: 0}", "limits.connections: expected a number from 1 to 9999999"),
        ("limits: {connections: 8k}", "limits.connections: expected a number from 1 to 9999999"),
        ("limits: {requests_per_app: -1}", "limits.requests_per_app: expected a number from 1 to"),
        ("limits: {requests_per_peer: 1.5}", "limits.requests_per_peer: expected a number from 1"),
        ("limits: {rate_per_client: 20}", "limits.rate_per_client: expected off, or how many in a"),
        ("limits: {rate_per_peer: 20/h}", "limits.rate_per_peer: expected off, or how many in a"),
        ("limits: {rate_per_app: [1/s]}", "limits.rate_per_app: expected off, or how many in a"),
        (
            "limits: {rate_per_cient: 1/s}",
            "limits.rate_per_cient: isn't known; did you mean rate_per",
        ),
        ("limits: {conections: 1}", "limits.conections: isn't known; did you mean connections?"),
        ("limits: 5", "limits: expected keys with values"),
        ("grace: 2h", "grace: expected a time from 0s to 1h, such as 30s, not '2h'"),
        (
            "trusted_proxies: [10.0.0.1/8]",
            "trusted_proxies[0]: expected an address or a network; did you mean 10.0.0.0/8?",
        ),
        (
            "trusted_proxies: [unix, localhost]",
            "trusted_proxies[1]: expected an address or a network, such as 10.0.0.0/8, or unix",
        ),
        ("trusted_proxies: [[a]]", "trusted_proxies[0]: expected an address, a network or unix"),
        ("trusted_proxies: 10.0.0.1", "trusted_proxies: expected a list, not '10.0.0.1'"),
        ("log: jsn", "log: expected 'auto', 'json' or 'text', not 'jsn'"),
        ("colour: red", "colour: isn't known; expected accept, acme, aliases, app_hosts, domain, "),
    ],
)
def test_one_problem_and_its_place(tmp_path: Path, line: str, problem: str) -> None:
    defaults = {"name": "name: Ada", "domain": "domain: p.getportal.org"}
    key = line.partition(":")[0]
    lines = [line, *(text for name, text in defaults.items() if name != key)]
    (found,) = _problems(tmp_path, "\n".join(lines))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://{short_id}.a.example", {"sealed", "signed"}),
        ("HTTPS://a.example:8443/", {"sealed", "signed"}),
        ("http://{short_id}.a.example", {"sealed"}),
        ("http://https.a.example:443", {"sealed"}),
    ],
)
def test_signed_calls_are_taken_by_default_only_where_tls_hides_them(
    tmp_path: Path, url: str, accepted: set[str]
) -> None:
    text = f"name: Ada\ndomain: a.example\npublic_url: {url}\n"
    assert _load(tmp_path, text).accept == accepted
    both = _load(tmp_path, text + "accept: [signed, sealed]")
    assert both.accept == {"sealed", "signed"}
    assert _load(tmp_path, text + "accept: [signed]").accept == {"signed"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("24h", 86_400),
        ("7d", 604_800),
        ("30d", 2_592_000),
        ("3600s", 3600),
        ("86400", 86_400),
        ("1.5h", 5400),
        ("1.1h", 3960),
    ],
)
def test_a_rotation_is_read_like_every_time(tmp_path: Path, text: str, seconds: int) -> None:
    config = _load(tmp_path, f"name: Ada\ndomain: a.example\nsealing_rotation: {text}\n")
    assert config.sealing_rotation == seconds


@pytest.mark.parametrize(
    "listen",
    [
        "{public: '127.0.0.1:8082'}",
        "{owner: '0.0.0.0:8080'}",
        "{apps: '0.0.0.0:8082'}",
        "{apps: 'unix:a', owner: 'unix:a'}",
        "{public: 'unix:run/../a', owner: 'unix:./a'}",
    ],
)
def test_two_listeners_never_share_an_address(tmp_path: Path, listen: str) -> None:
    (found,) = _problems(tmp_path, f"name: Ada\ndomain: a.example\nlisten: {listen}")
    assert found.startswith("listen: ")
    assert "are the same address; expected two" in found


def test_any_free_port_may_be_asked_for_three_times(tmp_path: Path) -> None:
    listen = "{public: '127.0.0.1:0', apps: '127.0.0.1:0', owner: '127.0.0.1:0'}"
    config = _load(tmp_path, f"name: Ada\ndomain: a.example\nlisten: {listen}")
    assert config.listen.public == config.listen.owner == Address("127.0.0.1", 0)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"portal\.yaml: there is no such file; `portal-proxy init`"):
        load_config(tmp_path / "nowhere")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "portal.yaml")
    with pytest.raises(Invalid, match="expected a file"):
        load_config(tmp_path)
    (tmp_path / "portal.yaml").unlink()
    (tmp_path / "portal.yaml").mkdir()
    with pytest.raises(Invalid, match=r"portal\.yaml: "):
        load_config(tmp_path)


def test_a_file_that_grows_for_ever_is_read_so_far(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="larger than 1048576 bytes"):
        _load(tmp_path, "#" * (1024 * 1024 + 1))


@pytest.mark.parametrize("text", ["a:80", "unix:/run/x.sock", "[::1]:443", "127.0.0.1:0"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_address(text)) == text


_ONE_NAME = "name: Ada\ndomain: a.example\napp_hosts: false\npublic_url: "


@pytest.mark.parametrize("url", ["https://portal.a.example", "https://a", "http://192.0.2.1:8080"])
def test_where_one_name_is_enough_sealed_calls_are_taken_and_no_others(
    tmp_path: Path, url: str
) -> None:
    config = _load(tmp_path, _ONE_NAME + url)
    assert not config.app_hosts
    assert config.accept == {"sealed"}
    assert _load(tmp_path, f"{_ONE_NAME}{url}\naccept: [sealed]").accept == {"sealed"}
    for modes in ("[signed]", "[sealed, signed]"):
        (problem,) = _problems(tmp_path, f"{_ONE_NAME}{url}\naccept: {modes}")
        assert problem.startswith("accept: a signed call names its app by the app's host")
        assert problem.endswith("expected [sealed]")


def test_what_app_hosts_can_be(tmp_path: Path) -> None:
    assert _load(tmp_path, "name: Ada\ndomain: a.example\napp_hosts: true").app_hosts
    (problem,) = _problems(tmp_path, "name: Ada\ndomain: a.example\napp_hosts: no")
    assert problem == "app_hosts: expected 'true' or 'false', not 'no'"
    (problem,) = _problems(tmp_path, _ONE_NAME + "https://[::1]")
    assert problem.startswith("public_url: an IPv6 address can't stand behind an app's name")
