"""Certificates that the proxy gets for itself: ``acme`` of portal.yaml (docs/setup/acme.md).

An authority is asked by ACME (RFC 8555) and looks, by HTTP-01, whether what it certifies is found
at port 80 of that name. No wildcard can be had that way, so with hosts for apps each is listed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainValidator

from proxy.config.config_file import HomePath
from proxy.config.listen import HOST_AND_PORT_SHAPE, LISTENERS, Address, Listen, parse_address
from proxy.core.errors import Problem
from proxy.core.http.origin import PORT_SHAPE, is_dns_label, label_shape
from proxy.core.text_files.schema import Section
from proxy.core.text_files.shape import any_case, shaped
from proxy.core.text_files.text import shown

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
CHALLENGES = "challenges"
"""What the listener at port 80 is called."""

_MOST_NAMES = 99
"""Let's Encrypt certifies a hundred at once, the Portal's own among them."""
_LONGEST_URL = 500
_EMAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_MARK = "{short_id}"
_LABEL = label_shape(rf"\{{{any_case('short')}_{any_case('id')}\}}")


@dataclass(frozen=True)
class Acme:
    """Which authority certifies this Portal's names, and where it finds them."""

    directory: str
    email: str | None
    """Whom the authority may write to; many take none any more."""
    names: tuple[str, ...]
    """Hosts beside the Portal's own; each may hold ``{short_id}``."""
    listen: Address
    """Where port 80 of those names leads."""
    authorities: Path | None
    """A file with the certificates that are believed for the directory; None is the usual ones."""


@shaped({"enum": ["true", True]})
def _agree(text: str) -> str:
    if text != "true":
        raise ValueError(
            "expected true: no authority certifies who doesn't agree to its terms, which "
            "`portal-proxy init --acme` shows"
        )
    return text


@shaped({"pattern": f"^{_EMAIL.pattern}$"})
def _email(text: str) -> str:
    if _EMAIL.fullmatch(text) is None:
        raise ValueError(f"expected an address such as ada@ada.example, not {shown(text)}")
    return text


def is_one_word(text: str) -> bool:
    """Tell whether ``text`` has the letters of a URL alone: it can be no line of its own then."""
    return text.isascii() and text.isprintable() and " " not in text and len(text) <= _LONGEST_URL


@shaped(
    {
        "maxLength": _LONGEST_URL,
        "pattern": (
            rf"^{any_case('https')}://(?:\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\] ]+)"
            rf"(?::(?:0*{PORT_SHAPE})?)?(?:[/?#][!-~]*)?$"
        ),
        "patternErrorMessage": f"expected a URL such as {LETS_ENCRYPT}",
    }
)
def directory_url(text: str) -> str:
    """Return ``text`` if it can be the URL of an ACME directory; raises ``ValueError``."""
    problem = f"expected a URL such as {LETS_ENCRYPT}, not {shown(text)}"
    if not is_one_word(text):
        raise ValueError(problem)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(problem) from None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or port == 0:
        raise ValueError(problem)
    return text


@shaped(
    {
        "pattern": rf"^(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}$",
        "patternErrorMessage": "expected a host such as guestbook.ada.example, and no wildcard",
    }
)
def _host(text: str) -> str:
    host = text.lower()
    labels = host.replace(_MARK, "a").split(".")
    if host.startswith("*."):
        raise ValueError("expected a host: no wildcard can be had by HTTP-01, so list each name")
    if "." not in host or not all(map(is_dns_label, labels)) or labels[-1].isdigit():
        raise ValueError(f"expected a host such as guestbook.ada.example, not {shown(text)}")
    return host


@shaped({"maxItems": _MOST_NAMES})
def _hosts(hosts: list[str]) -> list[str]:
    if len(hosts) > _MOST_NAMES:
        raise ValueError(f"expected at most {_MOST_NAMES}: authorities certify no more at once")
    return hosts


@shaped(
    {
        "type": "string",
        "pattern": f"^(?!unix:){HOST_AND_PORT_SHAPE}$",
        "patternErrorMessage": "expected host:port",
    }
)
def _where(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("expected host:port")  # noqa: TRY004 - for pydantic
    address = parse_address(value)
    if address.unix:
        raise ValueError("expected host:port: an authority comes over the network")
    return address


class AcmeFile(Section):
    """``acme`` in portal.yaml."""

    agree: Annotated[str, AfterValidator(_agree)]
    email: Annotated[str, AfterValidator(_email)] | None = None
    directory: Annotated[str, AfterValidator(directory_url)] = LETS_ENCRYPT
    names: Annotated[list[Annotated[str, AfterValidator(_host)]], AfterValidator(_hosts)] | None = (
        None
    )
    listen: Annotated[Address, PlainValidator(_where)] = Address("0.0.0.0", 80)  # noqa: S104 - the world is who it is for
    authorities: HomePath | None = None

    def values(self, folder: Path) -> Acme:
        """Return the settings; paths are taken from ``folder``."""
        return Acme(
            self.directory,
            self.email,
            tuple(self.names or ()),
            self.listen,
            folder / self.authorities if self.authorities else None,
        )


@dataclass(frozen=True)
class Beside:
    """What of the rest of portal.yaml an authority's certificate depends on."""

    host: str
    """The Portal's own; which short ID is in it doesn't matter here."""
    is_plain_http: bool
    app_hosts: bool
    has_tls: bool
    listen: Listen


def acme_problems(file: str, acme: AcmeFile, beside: Beside) -> Iterator[Problem]:
    """Return what of ``acme`` doesn't go together with the rest of ``file``."""
    if beside.has_tls:
        what = "the certificate is either in files of yours (tls) or got by acme: expected one"
        yield Problem(file, "acme", what)
    if beside.is_plain_http:
        what = "is plain http, which needs no certificate: expected https, or no acme"
        yield Problem(file, "public_url", what)
    host = beside.host
    if host.startswith("[") or "." not in host or host.rpartition(".")[2].isdigit():
        what = f"no authority certifies {host} this way: expected a name with a dot in it"
        yield Problem(file, "public_url", what)
    elif beside.app_hosts and not acme.names:
        what = (
            "apps have hosts of their own, and no wildcard certificate can be had this way: "
            "expected app_hosts: false, or the host of each app, as in [guestbook."
            f"{host}]; everybody can read certified names"
        )
        yield Problem(file, "acme.names", what)
    for name in LISTENERS:
        if acme.listen.overlaps(getattr(beside.listen, name)):
            yield Problem(
                file, "acme.listen", f"is the {name} listener's address: expected another"
            )
