"""portal.yaml: the Portal's own settings, read at the start and at SIGHUP (docs/operating.md).

Each key may come from the environment instead (``proxy.config.environment``). Everything that is
wrong is reported at once. What this module returns was checked: names, hosts and addresses need no
second look.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, PlainValidator

from proxy.config.acme import Acme, AcmeFile, Beside, acme_problems
from proxy.config.config_file import HomePath, is_there, plain, read_config_file
from proxy.config.environment import known_variables, put_over
from proxy.config.limits import DEFAULT_LIMITS, Limits, LimitsFile
from proxy.config.listen import Listen, ListenFile, place
from proxy.config.timeouts import DEFAULT_TIMEOUTS, GRACE, Grace, Timeouts, TimeoutsFile
from proxy.core.access.policy import MODES, Mode
from proxy.core.display_names import NAME_SHAPE, name_problem
from proxy.core.errors import Invalid, Problem
from proxy.core.http.forwarded import NETWORK_SHAPE, NOBODY, Network, Trusted, read_network
from proxy.core.http.origin import (
    Origin,
    authority_shape,
    is_dns_label,
    label_shape,
    origin_shape,
    parse_origin,
)
from proxy.core.identity import ALPHABET, ID_LENGTH, SHORT_ID_LENGTH, is_portal_id, short_id
from proxy.core.sealing_rotation import DEFAULT_ROTATION, LONGEST_ROTATION, SHORTEST_ROTATION
from proxy.core.text_files.duration import read_whole_seconds
from proxy.core.text_files.schema import Section, validate
from proxy.core.text_files.shape import shaped
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.core.text_files.text import shown
from proxy.logging_setup import LogForm
from proxy.state.layout import State

FILE_NAME = "portal.yaml"
DEFAULT_STATE = "../state"
"""Where the state folder is, from that of the file."""
CREDENTIAL = "identity.key"
"""What the key is called among the credentials that systemd hands to the proxy."""
NEW = "new"
"""What stands for the ID of a Portal whose identity may be thrown away, as a demo's."""

SHORT_ID = "{short_id}"
"""What stands for the Portal's own in ``public_url``."""
_SHORT_ID_SHAPE = r"\{short_id\}"
ANY_SHORT_ID = "a" * SHORT_ID_LENGTH
_LONGEST_DOMAIN = 253 - len("a" * 63 + "." + "a" * SHORT_ID_LENGTH + ".")


@dataclass(frozen=True)
class Tls:
    """The files with which the public listener speaks TLS."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Config:
    """A Portal's settings; ``public_url`` may hold ``{short_id}``."""

    folder: Path
    id: str | None
    """The full ID that this Portal must have, or ``NEW``; None where the file doesn't say."""
    name: str
    domain: str
    public_url: str
    aliases: tuple[str, ...]
    accept: frozenset[Mode]
    sealing_rotation: int
    """Seconds after which a new sealing key is made."""
    state: Path
    listen: Listen
    trusted_proxies: Trusted = NOBODY
    log: LogForm = "auto"
    tls: Tls | None = None
    """Where ``acme`` is asked for, the file that it is kept in."""
    acme: Acme | None = None
    """Which authority certifies the Portal's names; None leaves that to the owner."""
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    limits: Limits = DEFAULT_LIMITS
    grace: float = GRACE
    """Seconds that running requests get to finish when the proxy stops."""
    app_hosts: bool = True
    """Whether each app has a host in front of the Portal's own. Without, apps are called sealed."""
    peer_authorities: Path | None = None
    """A file with certificates that are believed for peers, beside the system's."""
    identity_key: Path | None = None
    """Where a service manager or a secret store puts the key; None is the state folder."""
    replaced: tuple[str, ...] = ()
    """Keys that the file has, and whose values are the environment's."""

    @property
    def is_plain_http(self) -> bool:
        """Whether everybody on the way can read what reaches this Portal unsealed."""
        return _is_plain_http(self.public_url)

    @property
    def has_domain(self) -> bool:
        """Whether the Portal's host is one below which a browser keeps a cookie for all.

        It does for none of a single name, and for no address (RFC 6265, section 5.3).
        """
        host = any_origin(self.public_url).host
        last = host.rpartition(".")[2]
        return host != last and not last.isdigit()

    def public_origin(self, portal_id: str) -> Origin:
        """Return the scheme, host and port at which others reach this Portal."""
        return parse_origin(self.public_url.replace(SHORT_ID, short_id(portal_id)))

    def certified(self, portal_id: str) -> tuple[str, ...]:
        """Return the hosts that ``acme`` has certified: the Portal's own, then what it lists."""
        more = self.acme.names if self.acme is not None else ()
        named = (name.replace(SHORT_ID, short_id(portal_id)) for name in more)
        return tuple(dict.fromkeys((self.public_origin(portal_id).host, *named)))


VARIABLES: frozenset[str]
"""Every variable of the environment that is a key of portal.yaml."""


def load_config(folder: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read ``folder``/portal.yaml, under what ``environ`` says; raises ``Invalid`` with all of it.

    Where the environment says enough, the file may be missing.
    """
    path = folder / FILE_NAME
    name = str(path)
    if not is_there(path):
        if not is_set_up_by(environ):
            what = "there is no such file; `portal-proxy init` makes it"
            raise Invalid([Problem(name, "", what)])
        found: object = {}
    else:
        found = parse_yaml(name, read_config_file(path))
    settings = put_over(found, environ, PortalFile)
    try:
        file = validate(name, PortalFile, settings.value)
        listen = place(name, folder, file.listen)
        public_url = file.public_url or f"https://{SHORT_ID}.{file.domain}"
        app_hosts = file.app_hosts == "true"
        if not app_hosts:
            _refuse_what_needs_app_hosts(name, public_url, file.accept)
        if file.acme is not None:
            _refuse_beside_acme(name, file.acme, file, public_url, listen)
    except Invalid as invalid:
        raise Invalid([settings.named(problem) for problem in invalid.problems]) from None
    state = plain(folder / file.state)
    return Config(
        folder=folder,
        id=file.id,
        name=file.name,
        domain=file.domain,
        public_url=public_url,
        aliases=tuple(file.aliases or ()),
        accept=frozenset(file.accept or _accepted_by_default(public_url, app_hosts=app_hosts)),
        sealing_rotation=file.sealing_rotation,
        state=state,
        listen=listen,
        trusted_proxies=_trusted(file.trusted_proxies or []),
        log=file.log,
        tls=_tls(folder, file, state),
        acme=file.acme.values(folder) if file.acme else None,
        timeouts=file.timeouts.values(),
        limits=file.limits.values(),
        grace=file.grace,
        app_hosts=app_hosts,
        peer_authorities=folder / file.peer_authorities if file.peer_authorities else None,
        identity_key=_key_elsewhere(folder, file.identity_key, environ),
        replaced=settings.replaced,
    )


def _refuse_beside_acme(
    name: str, acme: AcmeFile, file: "PortalFile", public_url: str, listen: Listen
) -> None:
    """Refuse what doesn't go together with ``acme``; raises ``Invalid``."""
    beside = Beside(
        host=any_origin(public_url).host,
        is_plain_http=_is_plain_http(public_url),
        app_hosts=file.app_hosts == "true",
        has_tls=file.tls is not None,
        listen=listen,
    )
    if problems := list(acme_problems(name, acme, beside)):
        raise Invalid(problems)


def _refuse_what_needs_app_hosts(file: str, public_url: str, accept: list[Mode] | None) -> None:
    """Refuse settings that one name alone can't have; raises ``Invalid``."""
    problems = []
    if "signed" in (accept or ()):
        what = "a signed call names its app by the app's host, and app_hosts is false"
        problems.append(Problem(file, "accept", f"{what}: expected [sealed]"))
    if "://[" in public_url:
        what = "an IPv6 address can't stand behind an app's name, as it does in sealed calls"
        problems.append(Problem(file, "public_url", f"{what}: expected a name"))
    if problems:
        raise Invalid(problems)


def _tls(folder: Path, file: "PortalFile", state: Path) -> Tls | None:
    """Return with which files TLS is spoken: the owner's, or the one that ``acme`` writes."""
    if file.acme is not None:
        certificate = State(state).acme_certificate
        return Tls(certificate, certificate)
    return Tls(folder / file.tls.certificate, folder / file.tls.key) if file.tls else None


def is_set_up_by(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment alone says enough, so that no file is needed."""
    return "PORTAL_NAME" in environ and "PORTAL_DOMAIN" in environ


def _key_elsewhere(folder: Path, named: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return where the key is if not in the state folder: as named, or a credential of systemd's.

    Whichever it is, ``id`` says whose key it must be.
    """
    if named is not None:
        return folder / named
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(credentials) / CREDENTIAL if credentials else None
    return credential if credential is not None and credential.exists() else None


def any_origin(public_url: str) -> Origin:
    """Return its scheme, host and port, with any short ID in it; raises ``ValueError``."""
    return parse_origin(public_url.replace(SHORT_ID, ANY_SHORT_ID))


def _is_plain_http(public_url: str) -> bool:
    return any_origin(public_url).scheme == "http"


def _accepted_by_default(public_url: str, *, app_hosts: bool) -> tuple[Mode, ...]:
    """Return both modes where TLS hides a signed call from the way there, else sealed alone.

    A signed call names its app by the app's host, so without such hosts there is none.
    """
    return ("sealed",) if _is_plain_http(public_url) or not app_hosts else MODES


@shaped(
    {
        "pattern": rf"^(?:{NEW}|[{ALPHABET}]{{{ID_LENGTH}}})$",
        "patternErrorMessage": f"expected this Portal's full ID, {ID_LENGTH} characters, or {NEW}",
    }
)
def _id(text: str) -> str:
    if text != NEW and not is_portal_id(text):
        raise ValueError(
            f"expected this Portal's full ID, {ID_LENGTH} characters, or {NEW}, not {shown(text)}"
        )
    return text


@shaped(NAME_SHAPE)
def _name(text: str) -> str:
    problem = name_problem(text)
    if problem:
        raise ValueError(problem)
    return text


@shaped(
    {
        "maxLength": _LONGEST_DOMAIN,
        "pattern": rf"^(?:{label_shape()}\.)*(?![0-9]+$){label_shape()}$",
        "patternErrorMessage": "expected a domain such as p.getportal.org",
    }
)
def _domain(text: str) -> str:
    domain = text.lower()
    labels = domain.split(".")
    if not all(map(is_dns_label, labels)) or labels[-1].isdigit():
        raise ValueError(f"expected a domain such as p.getportal.org, not {shown(text)}")
    if len(domain) > _LONGEST_DOMAIN:
        raise ValueError(f"expected at most {_LONGEST_DOMAIN} characters: app and ID go before it")
    return domain


@shaped(
    {
        "pattern": f"^{origin_shape(_SHORT_ID_SHAPE)}$",
        "patternErrorMessage": (
            f"expected https://host[:port] or http://host[:port]; the host may hold {SHORT_ID}"
        ),
    }
)
def _public_url(text: str) -> str:
    try:
        any_origin(text)
    except ValueError:
        what = f"expected https://host[:port] or http://host[:port], not {shown(text)}"
        raise ValueError(f"{what}; the host may hold {SHORT_ID}") from None
    return text


@shaped({"pattern": f"^{authority_shape()}$", "patternErrorMessage": "expected host or host:port"})
def _alias(text: str) -> str:
    try:
        parse_origin(f"http://{text}:80" if text.endswith("/") else f"http://{text}")
    except ValueError:
        raise ValueError(f"expected host or host:port, not {shown(text)}") from None
    return text.lower()


@shaped({"minItems": 1})
def _accept(modes: list[Mode]) -> list[Mode]:
    if not modes:
        raise ValueError("expected sealed, signed or both")
    return modes


@shaped(NETWORK_SHAPE)
def _proxy(value: object) -> Network | Literal["unix"]:
    if not isinstance(value, str):
        raise ValueError("expected an address, a network or unix")  # noqa: TRY004 - for pydantic
    return "unix" if value == "unix" else read_network(value)


def _trusted(proxies: list[Network | Literal["unix"]]) -> Trusted:
    networks = tuple(each for each in proxies if not isinstance(each, str))
    return Trusted(networks, unix=len(networks) < len(proxies))


_Rotation = Annotated[
    int,
    PlainValidator(
        partial(
            read_whole_seconds, shortest=SHORTEST_ROTATION, longest=LONGEST_ROTATION, example="24h"
        )
    ),
]
_Proxy = Annotated[Network | Literal["unix"], PlainValidator(_proxy)]


class _TlsFile(Section):
    """The files with which the public listener speaks TLS, both of them."""

    certificate: HomePath
    key: HomePath


class PortalFile(Section):
    """The schema of portal.yaml."""

    id: Annotated[str, AfterValidator(_id)] | None = None
    name: Annotated[str, AfterValidator(_name)]
    domain: Annotated[str, AfterValidator(_domain)]
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    app_hosts: Literal["true", "false"] = "true"
    aliases: list[Annotated[str, AfterValidator(_alias)]] | None = None
    accept: Annotated[list[Mode], AfterValidator(_accept)] | None = None
    sealing_rotation: _Rotation = DEFAULT_ROTATION
    state: HomePath = DEFAULT_STATE
    identity_key: HomePath | None = None
    listen: ListenFile = ListenFile()
    tls: _TlsFile | None = None
    acme: AcmeFile | None = None
    peer_authorities: HomePath | None = None
    timeouts: TimeoutsFile = TimeoutsFile()
    limits: LimitsFile = LimitsFile()
    grace: Grace = GRACE
    trusted_proxies: list[_Proxy] | None = None
    log: LogForm = "auto"


VARIABLES = known_variables(PortalFile)
