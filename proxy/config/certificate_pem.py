"""What is in a certificate and in a private key, both in PEM, as far as a listener wants to know.

Apart from ``proxy.config.certificate``, because of what it is read with: that is large, and a
Portal whose TLS is somebody else's needs none of it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from proxy.config.config_file import read_config_file
from proxy.state.files import read_external

_UNREADABLE = (
    *(ValueError, TypeError, OverflowError, UnsupportedAlgorithm, InternalError),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)
"""What the library raises for what is damaged, or none of its kind."""
_KEY = re.compile(
    rb"-----BEGIN (?P<label>(?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END (?P=label)-----", re.DOTALL
)


@dataclass(frozen=True)
class Leaf:
    """The first certificate of a file: the one that the others vouch for."""

    public_key: bytes
    """In DER, as ``read_public_key`` has it."""
    names: frozenset[str]
    begins: float
    ends: float
    """Unix seconds."""


def read_leaf(path: Path) -> Leaf:
    """Read the certificate; raises ``ValueError``, and what reading a file does.

    Every part of it can be read then: they are decoded when they are asked for.
    """
    try:
        leaf = x509.load_pem_x509_certificates(read_config_file(path))[0]
        begins, ends = (
            moment.timestamp() for moment in (leaf.not_valid_before_utc, leaf.not_valid_after_utc)
        )
        for moment in (begins, ends):
            datetime.fromtimestamp(moment, UTC)  # it can be told
        return Leaf(_plain(leaf.public_key()), _names(leaf), begins, ends)
    except _UNREADABLE:
        raise ValueError("holds no certificate in PEM that can be read") from None


def read_public_key(path: Path) -> bytes:
    """Return the public half of the key, in DER; what is raised holds nothing of the file."""
    match = _KEY.search(read_external(path))
    if match is None:
        raise ValueError("holds no private key in PEM")
    try:
        return _plain(load_pem_private_key(match[0], password=None).public_key())
    except TypeError:
        raise ValueError("is encrypted: the proxy needs a key without a passphrase") from None
    except _UNREADABLE:
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
