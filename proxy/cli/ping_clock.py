"""Whose clock is wrong, where a certificate is told to be out of time.

TLS fails first then, so nothing there can be believed: it is asked all the same, for what anybody
may read, and what it says is only told to the owner.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from cryptography import x509

from proxy.cli.http_client import HttpxUpstream, unverified_tls
from proxy.cli.output import utc
from proxy.core.errors import Refusal
from proxy.core.http.headers import values_of
from proxy.core.identity_document import BACKDATED, TAG, verify_document
from proxy.core.signature.base import Message
from proxy.core.signature.parameters import find_signature, time_of
from proxy.core.signature.response import Untrusted
from proxy.http.upstream import Destination
from proxy.outbound.identity_documents import ask_for_document

NOT_YET, EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_APART = 300
"""Seconds by which two clocks differ that aren't merely inexact."""


@dataclass(frozen=True)
class _There:
    """What was told over a connection that nobody vouches for."""

    now: float
    """What time it is there."""
    is_signed: bool
    """By a Portal's key, with its document; else the web server's ``Date``."""


def is_about_time(error: BaseException | None) -> bool:
    """Tell whether TLS failed since a certificate isn't valid at this time."""
    codes = {NOT_YET, EXPIRED}
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in codes


async def whose_clock(to: Destination, patience: float) -> str:
    """Say whose clock seems to be wrong; "" where the clocks agree, or nobody says."""
    try:
        async with asyncio.timeout(patience):
            there = await _time_there(to, patience)
            begins, ends = await _validity(to)
    except (OSError, TimeoutError, ValueError, Refusal):
        return ""
    here = time.time()
    if there is None or abs(there.now - here) < _APART:
        return ""
    by = "its Portal's signature" if there.is_signed else "its web server's Date"
    told = f"here it is {utc(here)}, there {utc(there.now)} by {by}"
    if begins <= there.now <= ends:
        return f"The clock of this machine seems to be wrong: {told}."
    return f"One of the two clocks is wrong: {told}."


async def _time_there(to: Destination, patience: float) -> _There | None:
    upstream = HttpxUpstream(unverified_tls())
    try:
        head, body = await ask_for_document(upstream, to, patience)
    finally:
        await upstream.close()
    signed = _signed_time(head, body)
    if signed is not None:
        return _There(signed, is_signed=True)
    dates = values_of(head.fields, b"date")
    if len(dates) != 1:
        return None
    date = parsedate_to_datetime(dates[0].decode("ascii"))
    return _There(date.replace(tzinfo=date.tzinfo or UTC).timestamp(), is_signed=False)


def _signed_time(head: Message, body: bytes) -> float | None:
    """Return when a genuine document was made; None where it isn't one."""
    try:
        created = time_of(find_signature(head.fields, TAG), "created")
        verify_document("", head, body, now=created)
    except (Refusal, Untrusted):
        return None
    return float(created + BACKDATED)


async def _validity(to: Destination) -> tuple[float, float]:
    """Return from when until when the certificate is valid, in Unix seconds."""
    host, port = to.connect or (to.origin.host.strip("[]"), to.origin.port)
    name = to.origin.host.strip("[]")
    _, writer = await asyncio.open_connection(
        host, port, ssl=unverified_tls(), server_hostname=name
    )
    try:
        found = x509.load_der_x509_certificate(
            writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        )
    finally:
        writer.transport.abort()
    return found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
