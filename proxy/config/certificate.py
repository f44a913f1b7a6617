"""The owner's certificate and its key: read, judged, and made into what a listener speaks TLS with.

Whoever has the key can be this Portal to everybody's browser, so no one else may read it. Symbolic
links are followed and root may own it, since that is how certbot and others keep them.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from proxy.config.read_file import read_source
from proxy.core.errors import Invalid, Problem
from proxy.state.files import Unsafe, read_lent

SOON = 14 * 86_400
"""Seconds before its end at which a certificate that wasn't renewed is worth a word."""

_Read = TypeVar("_Read")
_KEY = re.compile(
    rb"-----BEGIN (?P<label>(?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END (?P=label)-----", re.DOTALL
)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, as they were read together."""

    context: ssl.SSLContext
    """What connections are accepted with."""
    file: str
    names: frozenset[str]
    """The hosts that it is for, in lower case; ``*.`` stands for one label."""
    begins: float
    ends: float
    """Unix seconds."""

    def covers(self, host: str) -> bool:
        """Tell whether it is for ``host``, which may itself begin with ``*.``."""
        plain = host.strip("[]")
        return plain in self.names or f"*.{plain.partition('.')[2]}" in self.names

    def problem(self, now: float) -> Problem | None:
        """Say why nobody can trust it at ``now``."""
        if now >= self.ends:
            return Problem(self.file, "", f"has expired, on {_date(self.ends)}")
        if now < self.begins:
            return Problem(self.file, "", f"isn't valid before {_date(self.begins)}")
        return None

    def warning(self, now: float) -> Problem | None:
        """Say that it ends soon and wasn't renewed."""
        if now < self.ends <= now + SOON:
            return Problem(self.file, "", f"expires on {_date(self.ends)} and wasn't renewed yet")
        return None


def load_certificate(certificate: Path, key: Path) -> Certificate:
    """Read the two files (PEM); raises ``Invalid`` with every problem of both."""
    problems: list[Problem] = []
    leaf = _read(certificate, _leaf, problems)
    public = _read(key, _public_key, problems)
    if leaf is None or public is None:
        raise Invalid(problems)
    if _plain(leaf.public_key()) != _plain(public):
        raise Invalid([Problem(str(key), "", f"isn't the key of the certificate in {certificate}")])
    return Certificate(
        _context(certificate, key),
        str(certificate),
        _names(leaf),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def _read(path: Path, read: Callable[[Path], _Read], problems: list[Problem]) -> _Read | None:
    try:
        return read(path)
    except Invalid as invalid:
        problems += invalid.problems
    except FileNotFoundError:
        problems.append(Problem(str(path), "", "is missing"))
    except OSError as error:
        problems.append(Problem(str(path), "", f"can't be read: {error.strerror}"))
    except (Unsafe, ValueError) as error:
        problems.append(Problem(str(path), "", str(error)))
    return None


def _leaf(path: Path) -> x509.Certificate:
    """Return the first certificate of the file: the one that the others vouch for."""
    try:
        return x509.load_pem_x509_certificates(read_source(path))[0]
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds no certificate in PEM that can be read") from None


def _public_key(path: Path) -> PublicKeyTypes:
    """Return the public half of the key; what is raised holds nothing of the file."""
    match = _KEY.search(read_lent(path))
    if match is None:
        raise ValueError("holds no private key in PEM")
    try:
        return load_pem_private_key(match[0], password=None).public_key()
    except TypeError:
        raise ValueError("is encrypted: the proxy needs a key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds a private key that can't be read") from None


def _plain(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _names(leaf: x509.Certificate) -> frozenset[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()  # as browsers read it: the common name counts no more
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return frozenset([*hosts, *map(str, names.get_values_for_type(x509.IPAddress))])


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a new context: a live one would lose its certificate to a key that doesn't fit."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Nobody is at a terminal to be asked for a passphrase.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        what = f"can't be used together with {key}: {error}"
        raise Invalid([Problem(str(certificate), "", what)]) from None
    return context


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
