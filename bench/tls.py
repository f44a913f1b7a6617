"""Hops whose listener speaks TLS 1.3: ours and nginx's, with the same certificate."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bench import nginx, portal, portals
from bench.crew import Crew
from bench.endpoint import Endpoint
from bench.subjects import Apps, Running

_DAYS = timedelta(days=1)


def public_hop(crew: Crew, apps: Apps) -> Running:
    """Start a Portal whose apps are open to everybody; raises ``NotStarted``."""
    ada = portals.with_apps(portal.make(crew, "Ada", pair=_pair(crew)), apps, portal.PUBLIC)
    endpoints = ada.way_in(portals.PAGES), ada.way_in(portals.TAKER)
    return Running(*endpoints, portal.serve(crew, ada))


def nginx_hop(crew: Crew, apps: Apps) -> Running:
    """Start nginx in front of each app; raises ``NotStarted``."""
    ports = (apps.pages.port, apps.taker.port)
    hops = tuple(nginx.start_hop(crew, port, pair=_pair(crew)) for port in ports)
    pages, taker = (Endpoint(one.port, secure=True) for one in hops)
    return Running(pages, taker, hops)


def _pair(crew: Crew) -> tuple[Path, Path]:
    """Return the files of a certificate for every Portal's name, and its key: one for a run."""
    certificate, key = crew.folder / "certificate.pem", crew.folder / "certificate.key"
    if not key.exists():
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, portal.DOMAIN)])
        now = datetime.now(UTC)
        names = [x509.DNSName(one) for one in (portal.DOMAIN, f"*.{portal.DOMAIN}")]
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAYS)
            .not_valid_after(now + _DAYS)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(private, hashes.SHA256())
        )
        certificate.write_bytes(made.public_bytes(Encoding.PEM))
        key.touch(mode=0o600)
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key
