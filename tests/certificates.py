"""Certificates of an authority of the tests' own, made anew for each run."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass
class Authority:
    """Signs certificates."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        builder = self._builder(self.key, "authority", -DAY, DAY)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = builder.add_extension(constraints, critical=True)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(
        self,
        *names: str,
        begins: float = -DAY,
        ends: float = 90 * DAY,
        key: Key | None = None,
    ) -> tuple[bytes, bytes]:
        """Return a certificate for ``names``, valid from and until so many seconds from now, and
        its key, both PEM.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(key, "leaf", begins, ends)
        if names:
            alternative = x509.SubjectAlternativeName([_name(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return made.public_bytes(Encoding.PEM), pem

    def _builder(self, key: Key, name: str, begins: float, ends: float) -> x509.CertificateBuilder:
        now = time.time()
        return (
            x509.CertificateBuilder()
            .subject_name(_called(name))
            .issuer_name(_called("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(now + begins, UTC))
            .not_valid_after(datetime.fromtimestamp(now + ends, UTC))
        )


@cache
def authority() -> Authority:
    """Return the one that most tests need."""
    return Authority()


def write_pair(folder: Path, pair: tuple[bytes, bytes]) -> tuple[Path, Path]:
    """Write a certificate and its key, each replaced as a whole; return their paths."""
    folder.mkdir(exist_ok=True)
    paths = folder / "fullchain.pem", folder / "privkey.pem"
    for path, data in zip(paths, pair, strict=True):
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(data)
        new.replace(path)
    return paths


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
