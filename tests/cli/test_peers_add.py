"""``peers add`` with the beginning of an ID: against a real Portal's identity document."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from proxy.core.card import Card, write_card
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import document_body, sign_document
from proxy.core.signature.digest import content_digest
from proxy.core.written_id import write_id
from proxy.state.contacts import ContactStore

if TYPE_CHECKING:
    from tests.cli.conftest import Home

BOB = PrivateKey(b"b" * 32)
MALLORY = PrivateKey(b"m" * 32)


@dataclass
class RemotePeer:
    """A Portal that only says who it is."""

    port: int
    name: str = "Bob"
    key: PrivateKey = BOB
    claims: str = ""
    """An ID that it claims in the document without having its key."""

    @property
    def address(self) -> str:
        return f"http://{BOB.public.portal_id[:6]}.portal.localhost:{self.port}"

    def add(self, text: str = "", *more: str) -> list[str]:
        """Return the command that adds it."""
        where = ["--address", self.address, "--connect", f"127.0.0.1:{self.port}"]
        return ["peers", "add", text or BOB.public.portal_id[:6], *where, *more]


def handler_of(remote: RemotePeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = remote.key
            body = document_body(key, remote.name, "portal.localhost", ("signed",))
            if remote.claims:
                body = body.replace(key.public.portal_id.encode(), remote.claims.encode())
            digest = content_digest(hashlib.sha256(body).digest())
            self.send_response(200)
            for name, value in sign_document(key, digest, now=int(time.time())):
                self.send_header(name.decode(), value.decode("latin-1"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    return Handler


@pytest.fixture
def bob() -> Iterator[RemotePeer]:
    remote = RemotePeer(0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(remote))
    remote.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield remote
    server.shutdown()
    thread.join()
    server.server_close()


def peers_of(home: Home) -> list[tuple[str, str]]:
    contacts = ContactStore(home.state / "contacts.yaml", "x.y").load()
    return [(contact.id, contact.name) for contact in contacts.peers]


def test_with_yes_what_the_look_up_finds_is_added_and_shown(ada: Home, bob: RemotePeer) -> None:
    outcome = ada.run(*bob.add("", "--yes"))
    assert outcome.status == 0, outcome.stderr
    assert outcome.stderr.startswith(f"Asking {bob.address} who it is.\n")
    assert f"Portal ID  {write_id(BOB.public.portal_id)}\nName       Bob\n" in outcome.stderr
    assert f"Added Bob, {BOB.public.portal_id}" in outcome.stdout
    assert peers_of(ada) == [(BOB.public.portal_id, "Bob")]


def test_the_owner_is_asked_and_says_yes(ada: Home, bob: RemotePeer) -> None:
    outcome = ada.run_at_terminal(*bob.add(), answer="y\n")
    assert outcome.status == 0, outcome.stderr
    assert "Is this the ID that its owner gave you? [y/N]" in outcome.stderr
    assert peers_of(ada) == [(BOB.public.portal_id, "Bob")]


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_anything_but_yes_adds_nobody(ada: Home, bob: RemotePeer, answer: str) -> None:
    outcome = ada.run_at_terminal(*bob.add(), answer=answer)
    assert outcome.status == 1
    assert "Traceback" not in outcome.stderr
    assert peers_of(ada) == []


def test_where_nobody_can_answer_it_says_so_and_shows_what_to_run(
    ada: Home, bob: RemotePeer
) -> None:
    outcome = ada.run(*bob.add("", "--mode", "signed"), stdin="")
    assert outcome.status == 1
    last = outcome.stderr.splitlines()[-1]
    assert "--yes" in last
    assert peers_of(ada) == []
    shown = last.partition(": portal-proxy ")[2].split()
    assert shown[:3] == ["peers", "add", BOB.public.portal_id]
    assert ada.run(*shown).status == 0
    contact = ContactStore(ada.state / "contacts.yaml", "x.y").load().peers[0]
    assert (contact.address, contact.mode) == (bob.address, "signed")
    assert contact.connect == f"127.0.0.1:{bob.port}"


@pytest.mark.parametrize(("answer", "added"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_an_answer_through_a_pipe_counts(
    ada: Home, bob: RemotePeer, answer: str, added: int
) -> None:
    outcome = ada.run(*bob.add(""), stdin=answer)
    assert outcome.status == 1 - added
    assert len(peers_of(ada)) == added


def test_the_owners_name_for_it_counts_more_than_its_own(ada: Home, bob: RemotePeer) -> None:
    ada.call(*bob.add("", "--yes", "--name", "My brother"))
    assert peers_of(ada) == [(BOB.public.portal_id, "My brother")]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("B\x1b[2J\u202eob\r\nX", "B[2JobX"), ("\u200b", "(none)"), ("x" * 99, "x" * 64)],
)
def test_a_strangers_name_is_cleaned_before_anybody_sees_it(
    ada: Home, bob: RemotePeer, name: str, shown: str
) -> None:
    bob.name = name
    outcome = ada.call(*bob.add("", "--yes"))
    assert outcome.status == 0
    assert f"\nName       {shown}\n" in outcome.stderr
    expected = BOB.public.portal_id[:6] if shown == "(none)" else shown
    assert peers_of(ada) == [(BOB.public.portal_id, expected)]


def test_another_portal_than_the_one_that_was_typed_is_refused(ada: Home, bob: RemotePeer) -> None:
    bob.key = MALLORY
    outcome = ada.call(*bob.add("", "--yes"))
    assert outcome.status == 1
    assert MALLORY.public.portal_id in outcome.stderr
    assert peers_of(ada) == []


def test_a_longer_beginning_that_does_not_fit_is_refused(ada: Home, bob: RemotePeer) -> None:
    fits = BOB.public.portal_id[:20]
    other = fits[:-1] + ("a" if fits[-1] != "a" else "b")
    assert ada.call(*bob.add(other, "--yes")).status == 1
    assert peers_of(ada) == []
    assert ada.call(*bob.add(fits, "--yes")).status == 0


def test_a_claimed_id_without_its_key_is_refused(ada: Home, bob: RemotePeer) -> None:
    bob.key, bob.claims = MALLORY, BOB.public.portal_id
    outcome = ada.call(*bob.add("", "--yes"))
    assert outcome.status == 1
    assert peers_of(ada) == []


def test_a_peer_that_is_there_already_is_found_out_by_its_full_id(
    ada: Home, bob: RemotePeer
) -> None:
    ada.call("peers", "add", BOB.public.portal_id)
    outcome = ada.call(*bob.add("", "--yes"))
    assert outcome.status == 1
    assert "is a peer already" in outcome.stderr


def test_who_does_not_speak_http_is_a_reason_and_no_traceback(ada: Home) -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"SSH-2.0-x\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        outcome = ada.call(*RemotePeer(server.getsockname()[1]).add("", "--yes"))
        thread.join()
    assert outcome.status == 1
    assert "A full ID needs no look-up: portal-proxy peers add FULL-ID" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_where_nobody_listens_the_way_without_a_network_is_shown(ada: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = ada.call(*RemotePeer(port).add("", "--yes"))
    assert outcome.status == 1
    assert "A full ID needs no look-up" in outcome.stderr.splitlines()[-1]
    assert peers_of(ada) == []


@pytest.mark.parametrize("path", ["", "/", "/some/page?of=it#here"])
def test_the_address_that_a_browser_shows_is_enough(ada: Home, bob: RemotePeer, path: str) -> None:
    words = ["peers", "add", bob.address + path, "--connect", f"127.0.0.1:{bob.port}", "--yes"]
    outcome = ada.call(*words)
    assert outcome.status == 0, outcome.stderr
    assert peers_of(ada) == [(BOB.public.portal_id, "Bob")]
    assert f"Address: {bob.address}\n" in outcome.stdout


def test_a_guess_is_said_to_be_one_before_anybody_is_asked(ada: Home, bob: RemotePeer) -> None:
    short = BOB.public.portal_id[:6]
    outcome = ada.call("peers", "add", short, "--connect", f"127.0.0.1:{bob.port}", "--yes")
    assert f"https://{short}.p.getportal.org, a guess below your own domain, who" in outcome.stderr
    assert outcome.status == 1


def test_white_space_around_a_card_is_none_of_it(ada: Home) -> None:
    card = write_card(Card(BOB.public.portal_id, "https://bob.example", "Bob"))
    outcome = ada.call("peers", "add", f"  {card}\n")
    assert outcome.status == 0, outcome.stderr
    assert peers_of(ada) == [(BOB.public.portal_id, "Bob")]


def test_a_lost_part_of_an_id_in_groups_is_told(ada: Home) -> None:
    groups = write_id(BOB.public.portal_id).split("-")
    fewer = ada.call("peers", "add", "-".join(groups[:3] + groups[4:]))
    assert fewer.status == 1
    assert "it has 17 groups, and a whole one has 18" in fewer.reason
    groups[3] = groups[3][:-1]
    shorter = ada.call("peers", "add", "-".join(groups))
    assert f"group 4 of 18, {groups[3]!r}, has too few characters or too many" in shorter.reason


@pytest.mark.parametrize(
    "typed", ["https://", "http://a b", "https:/x", "http://u@x.example", "bob.example"]
)
def test_what_is_no_address_is_refused(ada: Home, typed: str) -> None:
    outcome = ada.call("peers", "add", typed)
    assert outcome.status == 1
    assert "isn't the address of a Portal" in outcome.reason
