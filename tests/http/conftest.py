"""The engines behind the upstream interface; what each is known to fail is in ``known``."""

import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.cli.http_client import HttpxUpstream
from proxy.http.client.engine import Http1Upstream
from proxy.http.upstream import Upstream
from tests.http.app_in_process import InProcess
from tests.http.known import HTTPX_SPARED, KNOWN

ENGINES: dict[str, Callable[[ssl.SSLContext], Upstream]] = {
    "http1": Http1Upstream,
    "httpx": HttpxUpstream,
    "in_process": InProcess,
}


# httpx shows that the tests are fair; what they are for are the two that serve.
_EACH = [
    pytest.param(name, marks=pytest.mark.more) if name == "httpx" else name for name in ENGINES
]


@pytest.fixture(params=_EACH)
async def engine(
    request: pytest.FixtureRequest, trusting: ssl.SSLContext
) -> AsyncIterator[Upstream]:
    """Give each engine; what one is known to fail must fail, or the list is out of date."""
    row = request.node.callspec.params.get("row")
    name = request.node.originalname.removeprefix("test_") + (f"[{row}]" if row else "")
    if request.param == "httpx" and (reason := HTTPX_SPARED.get(name)):
        pytest.xfail(reason)
    if reason := KNOWN.get(request.param, {}).get(name):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    made = ENGINES[request.param](trusting)
    yield made
    await made.close()


@pytest.fixture
async def http1(trusting: ssl.SSLContext) -> AsyncIterator[Http1Upstream]:
    """Give our own engine alone, for what the other doesn't offer at all."""
    made = Http1Upstream(trusting)
    yield made
    await made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the path of a key and a certificate for ``app.example`` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("app.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return str(path)


@pytest.fixture(scope="session")
def trusting(certificate: str) -> ssl.SSLContext:
    """Give a client's context that trusts the certificate."""
    return ssl.create_default_context(cafile=certificate)


@pytest.fixture(scope="session")
def serving(certificate: str) -> ssl.SSLContext:
    """Give a server's context with the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
