"""``health``, against listeners of this test."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Home

REFUSED = b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n"


def tcp(host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


def unix(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


@contextmanager
def answering(
    server: socket.socket, response: bytes = REFUSED, *, tls: ssl.SSLContext | None = None
) -> Iterator[None]:
    """Answer every connection to ``server`` until the block ends."""

    def work() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with tls.wrap_socket(connection, server_side=True) if tls else connection as opened:
                opened.recv(65536)
                with suppress(ConnectionError):  # who has read enough closes
                    opened.sendall(response)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def listen(home: Home, public: str, apps: str, owner: str) -> None:
    path = home.config / "portal.yaml"
    head = path.read_text().partition("listen:")[0]
    path.write_text(
        f"{head}listen: {json.dumps({'public': public, 'apps': apps, 'owner': owner})}\n"
    )


def health_of(home: Home, **said: object) -> bytes:
    """Return what a proxy of this Portal says, all well but for what is ``said``."""
    body = json.dumps({"status": "ok", "id": home.own_id(), "problems": [], **said}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def at(server: socket.socket, host: str = "127.0.0.1") -> str:
    return f"{host}:{server.getsockname()[1]}"


@contextmanager
def serving(home: Home, owner: bytes) -> Iterator[Path]:
    """Answer at every listener, at the owner's with ``owner``; gives where that one is."""
    public, apps, path = tcp(), tcp(), home.path / "owner.sock"
    listen(home, at(public), at(apps), f"unix:{path}")
    with answering(public), answering(apps), answering(unix(path), owner):
        yield path


def test_it_is_healthy_when_every_listener_answers_anything(ada: Home) -> None:
    every, local, path = tcp("0.0.0.0"), tcp(), ada.path / "owner.sock"
    listen(ada, at(every, "0.0.0.0"), at(local, "localhost"), f"unix:{path}")
    with ExitStack() as stack:
        for server in (every, local):
            stack.enter_context(answering(server))
        stack.enter_context(answering(unix(path), health_of(ada)))
        outcome = ada.run("health")
        in_json = ada.call("health", "--json")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert f"The owner listener at unix:{path} answers.\n" in outcome.stdout
    assert in_json.status == 0
    parsed = json.loads(in_json.stdout)
    assert parsed["ok"] is True
    assert (parsed["status"], parsed["problems"]) == ("ok", [])
    assert [listener["name"] for listener in parsed["listeners"]] == ["public", "apps", "owner"]


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ({"status": "degraded", "problems": ["state: full\x1b[31m", "b: c"]}, 2),
        ({"status": "degraded"}, 0),
        ({"status": "odd"}, 0),
    ],
)
def test_a_proxy_that_says_it_isnt_well_is_not_healthy(
    ada: Home, said: dict[str, object], problems: int
) -> None:
    with serving(ada, health_of(ada, **said)):
        outcome = ada.call("health")
        in_json = ada.call("health", "--json")
    assert (outcome.status, in_json.status) == (1, 1)
    assert outcome.stdout.count(" answers.") == 3
    assert outcome.stderr.count("problem: ") == problems
    assert "\x1b" not in outcome.stderr
    parsed = json.loads(in_json.stdout)
    assert (parsed["ok"], parsed["status"]) == (False, said["status"])
    assert len(parsed["problems"]) == problems
    assert all(listener["ok"] for listener in parsed["listeners"])


@pytest.mark.parametrize(
    "response",
    [
        REFUSED,
        b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[",
        b'HTTP/1.1 200 OK\r\n\r\n{"status": "ok", "id": "x", "problems": [1]}',
        b'HTTP/1.1 200 OK\r\n\r\n{"status": "ok", "id": "x", "problems": ["' + b"x" * (1 << 21),
    ],
)
def test_an_owners_listener_that_says_nothing_of_the_proxy_is_not_healthy(
    ada: Home, response: bytes
) -> None:
    with serving(ada, response) as path:
        outcome = ada.call("health")
    assert outcome.status == 1
    told = f"The owner listener at unix:{path} answers, but doesn't say how the proxy is.\n"
    assert outcome.stderr == told


def test_another_portals_proxy_is_not_this_one(ada: Home) -> None:
    with serving(ada, health_of(ada, id="z" * 103)) as path:
        assert ada.call("health").stderr.endswith(f"unix:{path} is another Portal's.\n")
        (ada.state / "identity.key").chmod(0o644)
        assert ada.call("health").status == 0  # nobody can tell whose it is


def test_each_listener_that_does_not_answer_gets_its_sentence(ada: Home) -> None:
    deaf, rude = tcp(), tcp()
    with closing(tcp()) as gone:
        places = (at(deaf), at(rude), at(gone))
    listen(ada, *places)
    with closing(deaf), answering(rude, b"SSH-2.0-x\r\n"):
        outcome = ada.run("health")
    in_json = ada.call("health", "--json")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr.splitlines() == [
        f"The public listener at {places[0]} didn't answer within 3 seconds.",
        f"The apps listener at {places[1]} doesn't speak HTTP.",
        f"The owner listener at {places[2]} can't be reached: nothing listens there.",
    ]
    assert in_json.status == 1
    assert [listener["ok"] for listener in json.loads(in_json.stdout)["listeners"]] == [False] * 3


def test_a_host_name_that_does_not_exist_is_said_to_be_unknown(ada: Home) -> None:
    listen(ada, "nowhere.invalid:1", "localhost:1", f"unix:{ada.path}/owner.sock")
    lines = ada.call("health").stderr.splitlines()
    assert lines[0].endswith("nowhere.invalid:1 can't be reached: its host name isn't known.")
    assert lines[1].startswith("The apps listener at localhost:1 can't be reached: ")


def test_one_that_closes_without_a_word_is_not_healthy(ada: Home) -> None:
    silent = tcp()
    listen(ada, at(silent), f"unix:{ada.path}/apps.sock", f"unix:{ada.path}/owner.sock")
    with answering(silent, b""):
        outcome = ada.call("health")
    assert outcome.status == 1
    assert "The public listener" in outcome.stderr
    assert f"unix:{ada.path}/apps.sock can't be reached: nothing listens there." in outcome.stderr


def speak_tls(home: Home) -> ssl.SSLContext:
    """Give Ada's public listener a certificate; return the context that serves with it."""
    certificate, key = Authority().issue("other.example")
    (home.config / "certificate.pem").write_bytes(certificate)
    (home.config / "key.pem").write_bytes(key)
    (home.config / "key.pem").chmod(0o600)
    path = home.config / "portal.yaml"
    path.write_text(path.read_text() + "tls: {certificate: certificate.pem, key: key.pem}\n")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(home.config / "certificate.pem", home.config / "key.pem")
    return serving


@pytest.mark.parametrize("is_unix", [False, True])
def test_with_tls_any_certificate_will_do(ada: Home, *, is_unix: bool) -> None:
    server = unix(ada.path / "public.sock") if is_unix else tcp()
    place = f"unix:{ada.path}/public.sock" if is_unix else at(server)
    listen(ada, place, f"unix:{ada.path}/apps.sock", f"unix:{ada.path}/owner.sock")
    serving = speak_tls(ada)
    with answering(server, tls=serving):
        outcome = ada.call("health")
    assert f"The public listener at {place} answers.\n" in outcome.stdout


def test_a_public_listener_without_the_tls_that_it_should_have_is_not_healthy(ada: Home) -> None:
    server = tcp()
    place = at(server)
    listen(ada, place, f"unix:{ada.path}/apps.sock", f"unix:{ada.path}/owner.sock")
    speak_tls(ada)
    with answering(server):
        outcome = ada.call("health")
    assert f"The public listener at {place} doesn't speak TLS: " in outcome.stderr


def test_ipv6_and_every_address_are_asked_on_loopback(ada: Home) -> None:
    every, six = tcp("::"), tcp("::1")
    listen(ada, at(every, "[::]"), at(six, "[::1]"), f"unix:{ada.path}/owner.sock")
    with answering(every), answering(six):
        outcome = ada.call("health")
    assert "The public listener at" in outcome.stdout
    assert "The apps listener at" in outcome.stdout
    assert outcome.stderr.count("listener") == 1
