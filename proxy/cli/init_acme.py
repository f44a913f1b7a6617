"""``init --acme``: a first certificate, from an authority that looks at port 80.

Its terms are shown, and whoever makes the Portal agrees to them; portal.yaml says so from then on.
The proxy renews the certificate while it runs (``proxy.server.certifying``).
"""

import asyncio
import errno
import json
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from proxy.acme.advice import INSTALL, is_installed
from proxy.acme.order import Order
from proxy.cli.output import USAGE, Stop, command_line, remark, say, utc
from proxy.cli.portal_files import PortalFiles
from proxy.config.acme import LETS_ENCRYPT, Acme, directory_url, is_one_word
from proxy.config.config_file import is_there
from proxy.config.portal_yaml import FILE_NAME, load_config
from proxy.core.certificate_renewal import may_try
from proxy.server.sockets import ListeningSocket, open_socket
from proxy.state.acme_files import forget_failure, read_failure

_HINT = """
# Or the proxy gets a certificate for itself, and renews it: portal-proxy init --acme
# acme:
#   agree: true
"""
_LINES = """
# The proxy gets a certificate for itself from this authority, and renews it.
acme:
  directory: {directory}
  # To its terms, {terms}
  agree: true
  {email}
  # Where port 80 of the Portal's name leads: the authority looks there.
  listen: "{every_host}:80"
"""


@dataclass(frozen=True)
class AcmeAsked:
    """What the options say of it, and what its authority's terms are."""

    email: str | None = None
    directory: str | None = None
    agree: bool = False


def acme_lines(asked: AcmeAsked | None, terms: str = "") -> str:
    """Return what stands of it in a new portal.yaml; ``terms`` is what was agreed to."""
    if asked is None:
        return _HINT
    _require_library()
    directory = asked.directory or LETS_ENCRYPT
    try:
        directory_url(directory)
    except ValueError as error:
        raise Stop(f"--directory: {error}") from None
    return _LINES.format(
        directory=directory,
        terms=terms or "of which it names none:",
        email=f"email: {json.dumps(asked.email)}" if asked.email else "# email: ada@ada.example",
        every_host=every_host(),
    )


def every_host() -> str:
    """Return what stands for each of this machine's addresses: those of IPv6, too, if it can."""
    return "[::]" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - the world


def _require_library() -> None:
    if not is_installed():
        raise Stop(f"--acme needs the ACME library: {INSTALL}")


def agree_to_terms(asked: AcmeAsked) -> str:
    """Show the authority's terms, and have the owner agree; returns where they are.

    Raises ``Stop`` where nobody agrees.
    """
    from proxy.acme.issuing import NotIssued, terms_of  # noqa: PLC0415 - only this pays for it

    directory = asked.directory or LETS_ENCRYPT
    try:
        terms = asyncio.run(terms_of(Order(directory)))
    except NotIssued as error:
        raise Stop(str(error)) from None
    if not is_one_word(terms):
        # They become a line of portal.yaml, and the authority must not write further ones.
        raise Stop(f"what {directory} says of its terms is no URL: take another --directory")
    remark(f"The terms of {directory}: {terms or 'it names none'}")
    if asked.agree:
        return terms
    if not sys.stdin.isatty():
        raise Stop("nobody is there to agree to them: --agree does", status=USAGE)
    sys.stderr.write("Do you agree to them? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Stop("no certificate without that; nothing was changed")
    return terms


@dataclass
class Port80:
    """The socket at which an authority looks, or why there is none.

    It is opened before root goes on as the owner of the state, who may open none.
    """

    listening: ListeningSocket | None = None
    why_not: str = ""

    @classmethod
    def of(cls, folder: Path) -> "Port80":
        """Open it where ``folder``/portal.yaml asks for certificates; raises ``Invalid``."""
        acme = load_config(folder).acme
        if acme is None:
            return cls()
        try:
            return cls(open_socket(acme.listen))
        except OSError as error:
            return cls(None, f"{acme.listen} can't be used: {error.strerror}{_next(error)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        if self.listening is not None:
            self.listening.close()


def _next(error: OSError) -> str:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return (
            ". Ports below 1024 are root's: run this as root (it goes on as the owner of the "
            "state), or in a container whose engine allows them"
        )
    if error.errno == errno.EADDRINUSE:
        return ". A web server there can get the certificate itself; a proxy that runs renews it"
    return ""


def certify(
    portal: PortalFiles, portal_id: str, port: Port80, *, is_asked_for: bool = True
) -> None:
    """Get a certificate, unless the one that is there will do; raises ``Stop``.

    After a failure it is tried again at once where somebody asks for it. A start doesn't: it may be
    one of many in a row.
    """
    from proxy.acme.issuing import NotIssued  # noqa: PLC0415 - as above
    from proxy.server.certifying import (  # noqa: PLC0415 - only this pays for the server
        certify_once,
        note_failure,
        order_of,
        read_certificate,
        why_due,
    )

    acme = _asked_for(portal, portal_id)
    order = order_of(portal.config, portal_id)
    certificate = read_certificate(order)
    why = why_due(certificate, order, time.time(), 0.0)
    if certificate is not None and not why:
        say(f"There      {order.certificate}, until {utc(certificate.ends)}")
        return
    note = portal.state.acme_failure
    if not is_asked_for:
        _wait_for_the_next_try(portal)
    _require_library()
    if port.listening is None:
        raise Stop(f"no certificate: {port.why_not}")
    remark(f"Asking {acme.directory} for a certificate; it looks at http://{order.names[0]}/ ...")
    try:
        asyncio.run(certify_once(portal.config, portal_id, port.listening))
    except NotIssued as error:
        with suppress(OSError):
            note_failure(note, str(error), time.time(), 0.0)
        raise Stop(f"no certificate: {error}") from None
    forget_failure(note)
    made = read_certificate(order)
    if made is None:
        raise Stop(f"no certificate: {order.certificate} can't be read")
    say(f"Made       {order.certificate}, until {utc(made.ends)}, for {', '.join(order.names)}")


def _wait_for_the_next_try(portal: PortalFiles) -> None:
    failure = read_failure(portal.state.acme_failure)
    if failure is not None and not may_try(time.time(), failure.next_try):
        command = command_line(portal.folder, "init", "--acme")
        raise Stop(
            f"no certificate since {utc(failure.at)}: {failure.reason}; it is tried again from "
            f"{utc(failure.next_try)} on, and at once by: {command}"
        )


def _asked_for(portal: PortalFiles, portal_id: str) -> Acme:
    if portal.config.acme is not None:
        return portal.config.acme
    file = portal.folder / FILE_NAME
    remark(f"{file} is there and asks for no certificate. Have it say this, and nothing of tls; so")
    remark(f"you agree to the terms of {LETS_ENCRYPT}:")
    say("acme:")
    say("  agree: true")
    port = portal.config.public_origin(portal_id).port
    if portal.config.listen.public.port != port:
        remark(f"And under listen, where port {port} leads to this machine as it is:")
        remark(f'  public: "{every_host()}:{port}"')
    raise Stop("--acme is for a new portal.yaml, or one that says so; then run this again")


def is_certificate_missing(portal: PortalFiles) -> bool:
    """Tell whether portal.yaml asks for a certificate and none was got yet."""
    return portal.config.acme is not None and not is_there(portal.state.acme_certificate)
