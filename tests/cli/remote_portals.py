"""Who is called by hand: Portals as processes, the apps behind them, what stands before them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.patience import PATIENCE
from tests.wire.harness import preloaded
from tests.wire.harness.portals import ROOT, Portal, environment
from tests.wire.harness.raw import LOOPBACK
from tests.wire.harness.recorder import Accepted, Relay, Server

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from proxy.core.access.policy import Contact, Mode

WIDE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "peer"}}}'


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def reason(self) -> str:
        """The one line on stderr that a refusal consists of."""
        (line,) = self.stderr.splitlines()
        return line


def run(portal: Portal, *words: str, stdin: bytes = b"", trusting: Path | None = None) -> Done:
    """Run a command on a Portal as a process; ``trusting`` is a certificate that it believes."""
    trust = {"SSL_CERT_FILE": str(trusting)} if trusting else {}
    done = preloaded.run(
        "--config", str(portal.config), *words,
        environment={**environment(), **trust}, folder=ROOT, stdin=stdin,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr.decode())


def in_mode(contact: Contact, mode: Mode) -> Contact:
    """Return the contact, called in ``mode``."""
    return replace(contact, mode=mode)


def accept(portal: Portal, modes: str) -> None:
    """Let a Portal that hasn't started accept ``modes`` alone: ``signed`` or ``sealed``."""
    _set(portal, "accept", f"[{modes}]")


def publish_at(portal: Portal, port: int) -> str:
    """Give a Portal that hasn't started a public URL with TLS at ``port``; return it."""
    url = f"https://{portal.host.partition(':')[0]}:{port}"
    _set(portal, "public_url", url)
    return url


def _set(portal: Portal, key: str, value: str) -> None:
    path = portal.config / "portal.yaml"
    lines = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", path.read_text())
    assert f"\n{key}: {value}\n" in lines
    path.write_text(lines)


def _head(wire: Accepted) -> bytes:
    """Read a request's head; one that only asks what is spoken here is answered before it."""
    head = wire.until(b"\r\n\r\n")
    if head.startswith(b"OPTIONS * "):
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        head = wire.until(b"\r\n\r\n")
    return head


class Echo(Server):
    """An app that sends each piece of a request's body back as soon as it came."""

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        assert b"\r\ntransfer-encoding: chunked\r\n" in _head(wire).lower()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(wire.until(b"\r\n"), 16):
            piece = wire.exactly(size)
            wire.exactly(2)
            wire.send(b"%x\r\n%s\r\n" % (size, piece))
        wire.send(b"0\r\n\r\n")


class Hasty(Server):
    """An app that answers as soon as it has a request's head, and reads no body."""

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        _head(wire)
        wire.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
        while wire.piece():
            pass


class Endless(Server):
    """An app whose responses begin with ``more`` and never end, but by being broken off."""

    def __init__(self) -> None:
        self.breaks_off = threading.Event()
        super().__init__()

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        wire.until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n")
        self.breaks_off.wait(PATIENCE)


class Fixed(Server):
    """Whatever else listens somewhere: gives each connection the same bytes, and closes it."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        super().__init__()

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        wire.until(b"\r\n\r\n")
        wire.send(self._response)


class Front(Relay):
    """A web server with TLS before a Portal."""

    def __init__(self, to_port: int, certificate: Path) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        super().__init__(to_port)

    def handle(self, accepted: socket.socket) -> None:
        with suppress(ssl.SSLError), self._tls.wrap_socket(accepted, server_side=True) as opened:
            super().handle(opened)


def certificate(folder: Path, *names: str, days: int = 30) -> Path:
    """Make a certificate for ``names``, signed by itself; ``days`` below 0: expired since then."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    begin, end = sorted((now - dt.timedelta(days=60), now + dt.timedelta(days=days)))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    alternatives = [x509.DNSName(name) for name in names]
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(
            x509.SubjectAlternativeName(
                [*alternatives, x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "certificate.pem"
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return path
