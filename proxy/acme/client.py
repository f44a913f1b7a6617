"""The process that speaks with an authority: ``python -m proxy.acme.client``, started by ours.

It reads an order from stdin, says on stdout what the authority will ask for at port 80, goes on
when that is answered there, and puts the certificate in its place. It says nothing else to anybody:
what went wrong is its last message. All of ACME is in certbot's library (``acme``).
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from proxy.acme.order import GO, Failure, Order, Said, read_order
from proxy.core.errors import Invalid
from proxy.state.acme_files import Account, read_account, write_account
from proxy.state.dumps import forbid_dumps
from proxy.state.files import make_private_folder, write_atomically

if TYPE_CHECKING:
    from acme.client import ClientNetwork, ClientV2
    from acme.messages import Directory, Error, OrderResource

LIFE = 580
"""Seconds after which it ends by itself, whatever became of who started it."""
PATIENCE = 300
"""Seconds for an authority to look, and to issue."""
_SILENCE = 45
"""Seconds for one response of an authority's."""
_AGENT = "portal-proxy"

Expect = Callable[[dict[str, str]], None]
"""Has these responses given at port 80; returns when they are."""


class Failed(Exception):
    """No certificate."""

    def __init__(self, kind: str, detail: str = "", host: str = "") -> None:
        super().__init__(kind, detail, host)
        self.failure = Failure(kind, detail, host)


def main() -> None:
    """Carry out the order on stdin."""
    forbid_dumps()  # the keys that it makes are in its memory
    signal.alarm(LIFE)
    # What a library prints must not be taken for a message of ours.
    out, sys.stdout = sys.stdout.buffer, sys.stderr

    def say(said: Said) -> None:
        out.write(said.line())
        out.flush()

    def expect(promised: dict[str, str]) -> None:
        say(Said(expect=promised))
        if sys.stdin.buffer.readline() != GO:
            raise Failed("ended", "nobody waits for the certificate any more")

    say(carry_out(read_order(sys.stdin.buffer.readline()), expect))


def carry_out(order: Order, expect: Expect) -> Said:
    """Return what became of the order; raises nothing."""
    if order.authorities is not None:
        os.environ["REQUESTS_CA_BUNDLE"] = order.authorities  # the library's own way to be told
    try:
        import acme.client  # noqa: F401, PLC0415 - an extra; here it is told where it is missing
    except ImportError as error:
        return Said(failure=Failure("no_library", str(error)))
    try:
        if order.terms_only:
            return Said(terms=_terms(order))
        _issue(order, expect)
    except Failed as failed:
        return Said(failure=failed.failure)
    except Invalid as invalid:
        return Said(failure=Failure("account", str(invalid)))
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits to hear of it
        return Said(failure=_failure_of(error))
    return Said()


def _terms(order: Order) -> str:
    """Return where the authority's terms are."""
    from acme.client import ClientNetwork  # noqa: PLC0415 - as above

    network = ClientNetwork(user_agent=_AGENT, timeout=_SILENCE)
    return _directory(order, network).meta.terms_of_service or ""


def _directory(order: Order, network: "ClientNetwork") -> "Directory":
    """Return the authority's directory; raises ``Failed`` where it is another document."""
    from acme.client import ClientV2  # noqa: PLC0415 - as above

    directory = ClientV2.get_directory(order.directory, network)
    if "newOrder" not in directory.to_partial_json():
        raise Failed("not_acme")
    return directory


def _issue(order: Order, expect: Expect) -> None:
    from acme.messages import Error  # noqa: PLC0415 - as above

    make_private_folder(Path(order.account).parent)
    account = read_account(Path(order.account), order.directory)
    client, account = _client(order, account)
    key = ec.generate_private_key(ec.SECP256R1())
    request = _request(order.names, key)
    try:
        ordered = client.new_order(request)
    except Error as error:
        if error.code != "accountDoesNotExist":
            raise
        # An authority may forget who hasn't come for years; one for tests does at its start.
        Path(order.account).unlink(missing_ok=True)
        client, account = _client(order, None)
        ordered = client.new_order(request)
    _prove(client, ordered, expect)
    until = datetime.now() + timedelta(seconds=PATIENCE)  # noqa: DTZ005 - the library's own form
    done = client.poll_and_finalize(ordered, until)
    _keep(order, key, done.fullchain_pem)


def _client(order: Order, account: Account | None) -> "tuple[ClientV2, Account]":
    """Return a client that is known at the authority; makes the account where there is none."""
    from acme.client import ClientNetwork, ClientV2  # noqa: PLC0415 - as above
    from acme.messages import Registration, RegistrationResource  # noqa: PLC0415 - as above
    from josepy.jwa import ES256  # noqa: PLC0415 - as above
    from josepy.jwk import JWKEC  # noqa: PLC0415 - as above

    key = _account_key(account)
    network = ClientNetwork(JWKEC(key=key), alg=ES256, user_agent=_AGENT, timeout=_SILENCE)
    client = ClientV2(_directory(order, network), network)
    if account is None:
        account = Account(order.directory, _register(client, order), _pem(key).decode("ascii"))
        write_account(Path(order.account), account)
    network.account = RegistrationResource(body=Registration(), uri=account.uri)
    return client, account


def _account_key(account: Account | None) -> ec.EllipticCurvePrivateKey:
    if account is None:
        return ec.generate_private_key(ec.SECP256R1())
    try:
        key = load_pem_private_key(account.key.encode("utf-8"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Failed("account", "its key can't be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Failed("account", "its key isn't of the kind that we make")
    return key


def _register(client: "ClientV2", order: Order) -> str:
    from acme.errors import ConflictError  # noqa: PLC0415 - as above
    from acme.messages import NewRegistration  # noqa: PLC0415 - as above

    if client.external_account_required():
        raise Failed("externalAccountRequired")
    # That the owner agreed stands in portal.yaml: without it there is no order.
    new = NewRegistration.from_data(email=order.email, terms_of_service_agreed=True)
    try:
        uri = client.new_account(new).uri
    except ConflictError as known:
        return known.location
    return str(uri)


def _request(names: Iterable[str], key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request (PEM) for a certificate of ``key`` for ``names``."""
    wanted = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(wanted, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _prove(client: "ClientV2", ordered: "OrderResource", expect: Expect) -> None:
    """Have the authority look at each name that it doesn't know to be ours."""
    from acme.challenges import HTTP01  # noqa: PLC0415 - as above
    from acme.messages import STATUS_VALID  # noqa: PLC0415 - as above

    proofs = []
    for authorization in ordered.authorizations:
        if authorization.body.status == STATUS_VALID:
            continue
        offered = [each for each in authorization.body.challenges if isinstance(each.chall, HTTP01)]
        if not offered:
            raise Failed("no_http_01", host=authorization.body.identifier.value)
        response, promised = offered[0].response_and_validation(client.net.key)
        proofs.append((offered[0], response, promised))
    if not proofs:
        return
    expect({each.chall.encode("token"): promised for each, _, promised in proofs})
    for each, response, _ in proofs:
        client.answer_challenge(each, response)


def _keep(order: Order, key: ec.EllipticCurvePrivateKey, chain: str) -> None:
    """Put the certificate in its place if it is what was asked for."""
    try:
        leaf = x509.load_pem_x509_certificates(chain.encode("ascii"))[0]
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certified = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
        is_ours = leaf.public_key() == key.public_key()
    except (ValueError, x509.ExtensionNotFound, UnsupportedAlgorithm) as error:
        raise Failed("wrong_certificate", str(error)) from None
    if not is_ours or not certified.issuperset(order.names):
        raise Failed("wrong_certificate", f"for {', '.join(sorted(certified))}")
    data = chain.encode("ascii").rstrip() + b"\n" + _pem(key)
    write_atomically(Path(order.certificate), data)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _failure_of(error: Exception) -> Failure:
    """Return what is told of an exception of the library's, or of what is below it."""
    from acme import errors, messages  # noqa: PLC0415 - as above

    match error:
        case messages.Error():
            return _refused(error)
        case errors.IssuanceError():
            return _refused(error.error)
        case errors.ValidationError():
            for authorization in error.failed_authzrs:
                for challenge in authorization.body.challenges:
                    if challenge.error is not None:
                        return _refused(challenge.error, authorization.body.identifier.value)
            return Failure("unauthorized")
        case errors.TimeoutError():
            return Failure("timeout")
        case errors.ClientError():
            return Failure("not_acme", str(error))
    return _failure_below(error)


def _failure_below(error: Exception) -> Failure:
    """Return what is told of an exception of what the library itself uses."""
    from josepy.errors import DeserializationError  # noqa: PLC0415 - as above
    from requests import exceptions  # noqa: PLC0415 - the library's

    text = str(error)
    match error:
        case exceptions.Timeout():
            return Failure("timeout")
        case exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in text:
            return Failure("untrusted", text)
        case exceptions.JSONDecodeError() | DeserializationError():
            return Failure("not_acme")
        case exceptions.RequestException():
            return Failure("unreachable", text)
        case OSError():
            return Failure("disk", text)
    if text.startswith("Requesting "):  # a ValueError: a connection that couldn't be made
        return Failure("unreachable", text)
    return Failure("mistake", f"{type(error).__name__}: {text}")


def _refused(error: "Error", host: str = "") -> Failure:
    """Return what an authority said, of the first name that it is about."""
    for each in error.subproblems or ():
        return _refused(each, each.identifier.value if each.identifier else host)
    if error.identifier:
        host = error.identifier.value
    kind = str(error.typ).rpartition(":")[2]
    return Failure(kind, error.detail or error.title or kind, host)


if __name__ == "__main__":
    main()
