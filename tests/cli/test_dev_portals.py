"""The Portals that ``dev`` makes: they are complete, know each other, and stay the same."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from proxy.cli.dev_apps import DevApp
from proxy.cli.dev_portals import DevPortal, Ports, held_ports, make_portals
from proxy.cli.output import Stop
from proxy.cli.portal_files import open_portal
from proxy.cli.serve import start_problems

CHAT = DevApp("chat", ("http://127.0.0.1:3000", "http://127.0.0.1:3001"))
THREE = DevApp("chat", (*CHAT.upstreams, "http://127.0.0.1:3002"))
FILES = DevApp("files", ("http://127.0.0.1:4000", "http://127.0.0.1:4001"))


@pytest.fixture
def ports() -> Iterator[Ports]:
    with held_ports(None) as held:
        yield held


@pytest.fixture
def two(tmp_path: Path, ports: Ports) -> tuple[DevPortal, ...]:
    return make_portals(tmp_path, [CHAT], ports)


def test_each_can_be_served_and_knows_all_others(tmp_path: Path, ports: Ports) -> None:
    portals = make_portals(tmp_path, [THREE, FILES], ports)
    assert [portal.name for portal in portals] == ["Ada", "Bob", "Cleo"]
    for portal in portals:
        opened = open_portal(portal.config)
        assert start_problems(opened) == []
        catalogue = opened.catalogue()
        assert (catalogue.problems, catalogue.notices) == ((), ())
        assert sorted(catalogue.apps) == sorted(portal.upstreams)
        contacts = opened.contacts.load()
        others = [other for other in portals if other is not portal]
        assert [contact.id for contact in contacts.peers] == [other.id for other in others]
        for contact, other in zip(contacts.peers, others, strict=True):
            assert contact.origin == other.files.config.public_origin(other.id)
            assert contact.connect == f"127.0.0.1:{contact.origin.port}"
            assert contact.mode == "sealed"
            assert all(contacts.may_know(app, contact.id) for app in portal.upstreams)
    assert [sorted(portal.upstreams) for portal in portals] == [
        ["chat", "files"], ["chat", "files"], ["chat"],
    ]  # fmt: skip


def test_an_app_at_a_socket_is_read_back_whatever_is_in_its_path(
    tmp_path: Path, ports: Ports
) -> None:
    app = DevApp("chat", ("unix:/run/a: b #.sock", "http://127.0.0.1:3001"))
    ada, _ = make_portals(tmp_path, [app], ports)
    assert str(open_portal(ada.config).catalogue().apps["chat"].upstream) == app.upstreams[0]


def test_they_listen_on_loopback_alone_each_at_ports_of_its_own(two: tuple[DevPortal, ...]) -> None:
    addresses = [address for portal in two for address in portal.addresses]
    assert {host for host, _ in addresses} == {"127.0.0.1"}
    assert len({port for _, port in addresses}) == 6


def test_only_their_maker_can_read_what_is_secret(two: tuple[DevPortal, ...]) -> None:
    ada = two[0]
    for secret in (ada.shell_file("chat"), ada.env_file("chat"), *ada.files.state.folder.iterdir()):
        assert secret.stat().st_mode & 0o077 == 0, secret
    assert ada.environment("chat")["PORTAL_TOKEN"] in ada.env_file("chat").read_text("ascii")


def test_the_authors_file_is_the_one_that_each_follows(tmp_path: Path, ports: Ports) -> None:
    own = tmp_path / "src" / "app_meta.json"
    own.parent.mkdir()
    own.write_text("not right", "ascii")
    folder = tmp_path / "portals"
    portals = make_portals(folder, [DevApp("chat", CHAT.upstreams, own)], ports)
    for portal in portals:
        assert (portal.config / "apps" / "chat" / "app_meta.json").resolve() == own
        (problem,) = portal.files.catalogue().problems
        assert "app_meta.json" in problem.file


def test_without_one_all_is_private_but_what_is_below_peer(two: tuple[DevPortal, ...]) -> None:
    rules = two[0].files.catalogue().apps["chat"].rules.rules
    assert {rule.prefix: rule.access.name for rule in rules} == {b"": "PRIVATE", b"/peer/": "PEER"}


def test_the_next_time_they_are_the_same(tmp_path: Path, ports: Ports) -> None:
    before = make_portals(tmp_path, [CHAT], ports)
    app_json = tmp_path / "apps" / "chat" / "app.json"
    app_json.write_text('{"v": "3.2", "paths": {"": {"access": "public"}}}', "ascii")
    settings = before[0].config / "apps" / "chat" / "proxy.yaml"
    settings.write_text(settings.read_text("ascii") + "app_answer: 5s\n", "ascii")
    moved = DevApp("chat", ("http://127.0.0.1:5000", *THREE.upstreams[1:]))
    # The first ones are still held, so that nobody takes them: whoever asks for them gets them.
    with held_ports(None) as again:
        after = make_portals(tmp_path, [moved], again)
    for one, other in zip(before, after, strict=False):
        assert (one.id, one.addresses) == (other.id, other.addresses)
        assert one.environment("chat") == other.environment("chat")
    assert len(after) == 3
    assert len(after[0].files.contacts.load().peers) == 2
    assert '"public"' in app_json.read_text("ascii")
    assert yaml.safe_load(settings.read_text("ascii")) == {
        "upstream": "http://127.0.0.1:5000", "app_answer": "5s",
    }  # fmt: skip


def test_a_port_that_is_taken_is_named_with_where_it_is_written(
    tmp_path: Path, ports: Ports
) -> None:
    ada, _ = make_portals(tmp_path, [CHAT], ports)
    _, (_, apps), _ = ada.addresses
    with (
        socket.create_server(("127.0.0.1", apps)),
        held_ports(None) as again,
        pytest.raises(Stop, match=rf"listen\.apps: port {apps} can't be used"),
    ):
        make_portals(tmp_path, [CHAT], again)


def test_a_port_at_which_an_app_will_be_is_no_portals(tmp_path: Path) -> None:
    with held_ports(3000, [CHAT]) as ports, pytest.raises(Stop, match="3000 is an app's"):
        make_portals(tmp_path, [CHAT], ports)
    with held_ports(None) as free:
        (number, *_) = free.of(0)
        there = DevApp("chat", (f"http://127.0.0.1:{number}", "http://127.0.0.1:1"))
        with held_ports(None, [there]) as ports, pytest.raises(Stop, match="is an app's"):
            ports.hold(number, "")


def test_the_first_port_may_be_given_and_is_told_where_it_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with held_ports(number) as ports, pytest.raises(Stop, match=f"--port: port {number} "):
            make_portals(tmp_path, [CHAT], ports)
    with held_ports(65_530) as ports, pytest.raises(Stop, match="no port above 65535"):
        make_portals(tmp_path / "other", [CHAT], ports)


def test_nobody_else_gets_a_port_before_its_proxy_listens() -> None:
    with held_ports(None) as ports:
        (port, *_) = ports.of(0)
        with pytest.raises(OSError, match="in use"), socket.socket() as other:
            other.bind(("127.0.0.1", port))


def test_what_else_isnt_for_the_proxy_stands_in_each_environment(
    tmp_path: Path, ports: Ports
) -> None:
    for portal in make_portals(tmp_path, [CHAT], ports, ["db", "cache:6379"]):
        assert portal.environment("chat")["NO_PROXY"].endswith(",db,cache:6379")
        assert "db,cache:6379" in portal.env_file("chat").read_text("utf-8")
