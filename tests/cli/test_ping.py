"""``ping``, on contacts with which one thing at a time is wrong."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from proxy.cli.root import with_what_is_needed
from proxy.core.access.policy import Contact
from tests.cli.remote_portals import (
    WIDE,
    Fixed,
    Front,
    accept,
    certificate,
    in_mode,
    publish_at,
    run,
)
from tests.wire.harness.portals import ROOT, Portal
from tests.wire.harness.raw import response
from tests.wire.harness.recorder import Recorder, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.core.access.policy import Mode

STEPS = [
    "address", "tls", "document", "key", "mode", "clock", "round_trip", "known_there", "known_here",
]  # fmt: skip


class Findings:
    """What ``ping --json`` found."""

    def __init__(self, status: int, told: dict[str, Any]) -> None:
        self.status = status
        self.told = told
        self.steps: dict[str, dict[str, Any]] = {step["name"]: step for step in told["steps"]}
        assert list(self.steps) == STEPS
        assert told["ok"] == (status == 0)
        assert all(step["what"] and step["what"].isprintable() for step in told["steps"])
        assert all(step["next"] for step in told["steps"] if step["ok"] is False)

    @property
    def wrong(self) -> list[str]:
        """The steps with a problem."""
        return [name for name, step in self.steps.items() if step["ok"] is False]

    @property
    def untried(self) -> list[str]:
        return [name for name, step in self.steps.items() if step["ok"] is None]


class Home:
    """Ada, who never starts, and Portals that she may know."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.app = stack.enter_context(Recorder())
        self.ada = self.portal("Ada")
        self.ada.add_app("wide", WIDE, self.app.port)

    def portal(self, name: str, **more: Any) -> Portal:
        """Make a Portal that runs until the test's end, once it is started."""
        portal = Portal(self.folder / name, name, **more)
        self._stack.callback(portal.release)
        return portal

    def bob(self, **more: Any) -> Portal:
        """Make Bob, who has added Ada, and hasn't started."""
        bob = self.portal("Bob", **more)
        bob.add_app("wide", WIDE, self.app.port)
        bob.knows(self.ada.as_contact(), apps={"wide": "all"})
        return bob

    def knows(self, contact: Contact, mode: Mode = "sealed", apps: str = "all") -> None:
        visible: Any = apps
        self.ada.knows(in_mode(contact, mode), apps={"wide": visible})

    def ping_trusting(self, file: Path | None) -> Findings:
        """Run it as a process that believes the certificate in ``file``."""
        done = run(self.ada, "ping", "Bob", "--json", trusting=file)
        return Findings(done.status, json.loads(done.stdout))

    def ping(self, peer: str = "Bob", *words: str) -> Findings:
        """Run ``ping --json`` in this process."""
        variables = {"PORTAL_CONFIG": str(self.ada.config)}
        result = CliRunner().invoke(
            with_what_is_needed("ping"), ["ping", peer, "--json", *words], env=variables
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Findings(result.exit_code, json.loads(result.stdout))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with ExitStack() as stack:
        yield Home(tmp_path, stack)


@pytest.mark.parametrize("mode", ["sealed", "signed"])
def test_all_is_well(home: Home, mode: Mode) -> None:
    bob = home.bob()
    accept(bob, "sealed, signed")
    bob.start()
    home.knows(bob.as_contact(), mode)
    found = home.ping()
    assert (found.status, found.wrong, found.untried) == (0, [], [])
    assert (found.told["peer"], found.told["mode"]) == (bob.id, mode)
    assert abs(found.steps["clock"]["skew"]) <= 1
    assert found.steps["round_trip"]["what"].startswith(f"A {mode} call was answered")
    assert ("sealing_key" in found.steps["mode"]) == (mode == "sealed")
    assert found.steps["known_here"]["apps"] == ["wide"]
    assert home.app.requests == []


def test_people_get_a_line_for_each_step_and_a_last_word(home: Home) -> None:
    bob = home.bob().start()
    home.knows(bob.as_contact())
    done = run(home.ada, "ping", bob.id[:7])
    lines = done.stdout.decode().splitlines()
    assert (done.status, done.stderr) == (0, "")
    assert lines[0] == f"Bob  {bob.id}"
    assert [line.split()[:2] for line in lines[4:-1]] == [["ok", name] for name in STEPS]
    assert lines[-1] == "All is well."


def test_a_sealed_contact_is_asked_nothing_that_the_way_there_can_read(home: Home) -> None:
    bob = home.bob().start()
    with Relay(bob.public) as relay:
        home.knows(bob.as_contact(connect=relay.port))
        assert home.ping().status == 0
        assert relay.sent.count(b"POST /.well-known/ohttp-gateway") == 2
        for word in (b"whoareyou", home.ada.id.encode()):
            assert word not in relay.sent


def test_nobody_at_the_address(home: Home) -> None:
    bob = home.bob()
    home.knows(bob.as_contact())
    found = home.ping()
    assert (found.status, found.wrong) == (1, ["address"])
    assert found.untried == STEPS[1:-1]
    assert "nothing listens there" in found.steps["address"]["what"]
    done = run(home.ada, "ping", "Bob")
    assert done.status == 1
    assert done.reason == "portal-proxy: 1 problem found"
    assert "\n                      Next: " in done.stdout.decode()


def test_a_host_name_that_nobody_has(home: Home) -> None:
    bob = home.bob()
    home.knows(replace(bob.as_contact(), address="http://bob.invalid", connect=""))
    found = home.ping()
    assert found.wrong == ["address"]
    assert (
        "bob.invalid:80 can't be reached: its host name isn't known"
        in (found.steps["address"]["what"])
    )


def test_one_that_takes_connections_and_says_nothing(home: Home) -> None:
    bob = home.bob()
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        home.knows(bob.as_contact(connect=deaf.getsockname()[1]))
        found = home.ping("Bob", "--timeout", "0.3")
    assert (found.wrong, found.untried) == (["document"], STEPS[3:-1])
    assert "0.3 s" in found.steps["document"]["what"]


@pytest.mark.parametrize("mode", ["sealed", "signed"])
def test_another_portal_at_the_address(home: Home, mode: Mode) -> None:
    bob = home.bob()
    impostor = home.portal("Eve", aliases=bob.host).start()
    home.knows(bob.as_contact(connect=impostor.public), mode)
    found = home.ping()
    assert (found.wrong, found.untried) == (["key"], STEPS[4:-1])
    assert found.steps["key"]["found"] == impostor.id
    assert found.steps["known_here"]["ok"]


def test_a_portal_of_another_host_at_the_address(home: Home) -> None:
    other = home.portal("Eve").start()
    home.knows(home.bob().as_contact(connect=other.public))
    found = home.ping()
    assert found.wrong == ["document"]
    assert "(421)" in found.steps["document"]["what"]


def test_they_have_not_added_us(home: Home) -> None:
    bob = home.bob()
    bob.knows(apps={})
    bob.start()
    home.knows(bob.as_contact())
    found = home.ping()
    assert (found.wrong, found.untried) == (["known_there"], [])
    assert f"peers add {home.ada.id} --address http://" in found.steps["known_there"]["next"]


def test_no_app_here_may_know_them(home: Home) -> None:
    bob = home.bob().start()
    home.knows(bob.as_contact(), apps="none")
    found = home.ping()
    assert found.wrong == ["known_here"]
    assert f"apps allow APP {bob.id[:6]} " in found.steps["known_here"]["next"]


@pytest.mark.parametrize(("mode", "accepted"), [("sealed", "signed"), ("signed", "sealed")])
def test_they_accept_only_the_other_mode(home: Home, mode: Mode, accepted: str) -> None:
    bob = home.bob()
    accept(bob, accepted)
    bob.start()
    home.knows(bob.as_contact(), mode)
    found = home.ping()
    assert (found.wrong, found.untried) == (["mode"], ["clock", "round_trip", "known_there"])
    what = f"It is called {mode}, and accepts {accepted} calls alone."
    assert found.steps["mode"]["what"] == what
    assert "whoareyou" not in bob.log


@pytest.mark.parametrize("mode", ["sealed", "signed"])
@pytest.mark.parametrize("shift", [600, -600])
def test_their_clock_is_off_and_calls_get_through_all_the_same(
    home: Home, shift: int, mode: Mode
) -> None:
    bob = home.bob(clock_shift=shift)
    accept(bob, "sealed, signed")
    bob.start()
    home.knows(bob.as_contact(), mode)
    found = home.ping()
    assert (found.wrong, found.untried) == (["clock"], [])
    assert abs(found.steps["clock"]["skew"] - shift) <= 2
    way = "ahead of" if shift > 0 else "behind"
    assert f" s {way} this one." in found.steps["clock"]["what"]
    assert "calls are made twice" in found.steps["clock"]["next"]


@pytest.mark.parametrize("shift", [7200, -7200])
def test_their_clock_is_off_so_far_that_their_document_cannot_be_used(
    home: Home, shift: int
) -> None:
    bob = home.bob(clock_shift=shift).start()
    home.knows(bob.as_contact())
    found = home.ping()
    assert (found.wrong, found.untried) == (["document", "clock"], [])
    assert abs(found.steps["clock"]["skew"] - shift) <= 2
    assert "one of the two clocks is wrong" in found.steps["document"]["what"]
    assert "signed by its clock" in found.steps["round_trip"]["what"]


@pytest.mark.parametrize(
    ("bytes_", "said"),
    [
        (response(404, body=b"none"), "(status 404)"),
        (response(200, ("Content-Type", "application/json"), body=b'{"id": "x"}'), "0 signatures"),
        (b"HTTP/1.1 200 \x1b[31m\r\n\r\n", "not a status line"),
        (b"SSH-2.0-x\r\n", "not a status line"),
        (b"", "the connection ended"),
        (response(200, body=bytes(70_000)), "too large"),
    ],
)  # fmt: skip
def test_something_else_than_a_portal(home: Home, bytes_: bytes, said: str) -> None:
    with Fixed(bytes_) as server:
        home.knows(home.bob().as_contact(connect=server.port))
        found = home.ping()
    assert (found.wrong, found.untried) == (["document"], STEPS[3:-1])
    assert said in found.steps["document"]["what"]


@pytest.mark.parametrize(
    ("names", "days", "said"),
    [
        (["{host}"], 30, "signed by itself"),
        (["else.test"], 30, "it is for other names"),
        (["{host}"], -1, "it has expired"),
    ],
)
def test_a_certificate_that_cannot_be_believed(
    home: Home, names: list[str], days: int, said: str
) -> None:
    bob = home.bob()
    host = bob.host.partition(":")[0]
    file = certificate(home.folder, *(name.format(host=host) for name in names), days=days)
    with Front(bob.public, file) as front:
        url = publish_at(bob, front.port)
        bob.start()
        home.knows(Contact(bob.id, "Bob", url, f"127.0.0.1:{front.port}"))
        found = home.ping_trusting(None if said == "signed by itself" else file)
    assert (found.wrong, found.untried) == (["tls"], STEPS[2:-1])
    assert said in found.steps["tls"]["what"]


@pytest.mark.parametrize("mode", ["sealed", "signed"])
@pytest.mark.parametrize("wild", [True, False])
def test_a_certificate_that_is_believed(home: Home, mode: Mode, *, wild: bool) -> None:
    bob = home.bob()
    accept(bob, "sealed, signed")
    host = bob.host.partition(":")[0]
    file = certificate(home.folder, host, *([f"*.{host}"] if wild else []))
    with Front(bob.public, file) as front:
        url = publish_at(bob, front.port)
        bob.start()
        home.knows(Contact(bob.id, "Bob", url, f"127.0.0.1:{front.port}"), mode)
        found = home.ping_trusting(file)
    if wild or mode == "sealed":
        assert found.wrong == []
        assert f"for {host} is good until" in found.steps["tls"]["what"]
    else:  # a signed call names the app's host to TLS
        assert found.wrong == ["tls"]
        assert f"for wide.{host} can't be believed" in found.steps["tls"]["what"]


def test_plain_http_at_an_address_with_tls(home: Home) -> None:
    bob = home.bob().start()
    url = f"https://{bob.host}"
    home.knows(Contact(bob.id, "Bob", url, f"127.0.0.1:{bob.public}"))
    found = home.ping()
    assert found.wrong == ["tls"]
    assert "TLS" in found.steps["tls"]["what"]


def test_tls_at_an_address_without(home: Home) -> None:
    bob = home.bob()
    file = certificate(home.folder, bob.host.partition(":")[0])
    with Front(bob.public, file) as front:
        home.knows(bob.as_contact(connect=front.port))
        found = home.ping()
    assert found.wrong == ["document"]
    assert "the address begins with https" in found.steps["document"]["next"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("Twin", "can mean several contacts"),
        ("aaaaaa", "can mean several contacts"),
        ("cccccc", "can mean several contacts"),
        ("Bib", "did you mean 'Bob'?"),
        ("8271dd", "is no contact's name, nor the beginning of one's ID"),
        ("bbbbb", "is no contact's name, nor the beginning of one's ID"),
        ("", "is no contact's name, nor the beginning of one's ID"),
        ("x\x1b[2J", "is no contact's name, nor the beginning of one's ID"),
    ],
)
def test_a_peer_that_nobody_or_several_could_be_is_not_asked(
    home: Home, typed: str, said: str
) -> None:
    where = "http://127.0.0.1:1"
    home.ada.knows(
        *(Contact(begin * 101 + end, name, where) for begin, end, name in (
            ("a", "aa", "Twin"), ("a", "ab", "Twin"), ("b", "bb", "cccccc"), ("c", "cc", "Bob"),
        )),
        apps={},
    )  # fmt: skip
    done = run(home.ada, "ping", typed)
    assert (done.status, done.stdout) == (1, b"")
    assert said in done.reason
    assert done.reason.isprintable()


def test_the_guide_for_owners_names_every_step_in_its_order() -> None:
    page = (ROOT / "docs" / "operating.md").read_text("utf-8")
    section = page.split("\n### What is wrong with a contact\n", 1)[1].split("\n#### ", 1)[0]
    assert re.findall(r"^\| (\w+) \| [^|]", section, re.MULTILINE) == STEPS
