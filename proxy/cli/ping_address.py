"""The way to a contact, below HTTP: whether its address takes connections, and TLS can be believed.

``Step`` is what ``ping`` finds, here and elsewhere.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.cli.output import milliseconds, utc, why_unreachable
from proxy.http.client.happy_eyeballs import NEXT_ADDRESS
from proxy.http.tls.verifying import believing
from proxy.http.upstream import Destination

EDIT = "To change its entry: portal-proxy peers edit"

_CERTIFICATE = {
    9: "it isn't valid yet",
    10: "it has expired",
    18: "it is signed by itself, and by nobody whom this machine trusts",
    19: "it is signed by an authority that this machine doesn't trust",
    20: "nobody whom this machine trusts has signed it, or a certificate between them is missing",
    21: "nobody whom this machine trusts has signed it, or a certificate between them is missing",
    62: "it is for other names",
    64: "it is for other addresses",
}
"""What OpenSSL's X509_V_ERR_* numbers mean."""
_OF_NOBODY_TRUSTED = frozenset({18, 19, 20, 21})


@dataclass(frozen=True)
class Step:
    """One finding of ``ping``; ``name`` is for scripts and stays."""

    name: str
    ok: bool | None
    """None: not tried, as an earlier step stands in the way."""
    what: str
    then: str = ""
    """What to do next, where it is a problem."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Numbers of this step, for ``--json``."""

    def described(self) -> dict[str, object]:
        """Return it for ``--json``."""
        shown = {"name": self.name, "ok": self.ok, "what": self.what, "next": self.then or None}
        return {**shown, **self.facts}


def well(name: str, what: str, **facts: object) -> Step:
    """Return a step at which nothing is wrong."""
    return Step(name, ok=True, what=what, facts=facts)


def problem(name: str, what: str, then: str, **facts: object) -> Step:
    """Return a step at which something is wrong, and ``then`` is to be done."""
    return Step(name, ok=False, what=what, then=then, facts=facts)


async def try_address(to: Destination, patience: float) -> Step:
    """Tell whether the address resolves and takes connections within ``patience`` seconds."""
    where, started = _place(to), time.monotonic()
    try:
        async with asyncio.timeout(patience):
            _, writer = await _connect(to)
    except TimeoutError:
        then = "Is that machine on and online, and does no firewall hold connections back?"
        return problem("address", f"{where} doesn't answer within {patience:g} s.", then)
    except OSError as error:
        then = f"Does its proxy run there, and is the address right? {EDIT}"
        return problem("address", f"{where} can't be reached: {why_unreachable(error)}.", then)
    seconds = time.monotonic() - started
    found = writer.get_extra_info("peername")[0]
    writer.transport.abort()
    resolved = "" if found in where else f" at {found}"
    what = f"{where} takes connections{resolved}, within {milliseconds(seconds)}."
    return well("address", what, seconds=seconds)


async def try_tls(to: Destination, patience: float, authorities: str = "") -> Step:
    """Tell whether TLS at an https address can be believed; by ``authorities`` (PEM), too."""
    where, name = _place(to), to.origin.host.strip("[]")
    try:
        async with asyncio.timeout(patience):
            _, writer = await _connect(to, believing(authorities, beside_system=True), name)
    except ssl.SSLCertVerificationError as error:
        from proxy.cli.ping_clock import is_about_time, whose_clock  # noqa: PLC0415 - heavy

        why = _CERTIFICATE.get(error.verify_code, error.verify_message)
        what = f"The certificate for {name} can't be believed: {why}."
        clocks = await whose_clock(to, patience) if is_about_time(error) else ""
        if clocks:
            then = "Set the clock that is wrong. No call is possible until then."
            return problem("tls", f"{what} {clocks}", then)
        then = "Its owner's web server needs a certificate for this name that others trust."
        if error.verify_code in _OF_NOBODY_TRUSTED:
            then += (
                " Or, if it is from an authority of your own or of a friend's: name its certificate"
                " as peer_authorities in portal.yaml."
            )
        return problem("tls", what, then)
    except TimeoutError:
        then = "Does a web server with TLS listen there, or is the address a plain http one?"
        return problem("tls", f"{where} doesn't finish TLS's greeting in {patience:g} s.", then)
    except ssl.SSLError as error:
        why = (error.reason or "unknown").replace("_", " ").lower()
        then = "Does a web server with TLS listen there, or is the address a plain http one?"
        return problem("tls", f"{where} doesn't speak TLS as it should: {why}.", then)
    except OSError as error:
        then = "Does a web server with TLS listen there?"
        return problem("tls", f"{where} breaks TLS's greeting off: {error}.", then)
    until = ssl.cert_time_to_seconds(writer.get_extra_info("peercert")["notAfter"])
    writer.transport.abort()
    what = f"Its certificate for {name} is good until {utc(until)}."
    return well("tls", what, until=int(until))


async def _connect(
    to: Destination, tls: ssl.SSLContext | None = None, name: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = _host_and_port(to)
    delay = None if to.connect else NEXT_ADDRESS
    return await asyncio.open_connection(
        host, port, ssl=tls, server_hostname=name, happy_eyeballs_delay=delay
    )


def _host_and_port(to: Destination) -> tuple[str, int]:
    return to.connect or (to.origin.host.strip("[]"), to.origin.port)


def _place(to: Destination) -> str:
    host, port = _host_and_port(to)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
