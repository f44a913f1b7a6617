"""``init`` and ``id``: a Portal's first files, and who it is."""

import json
import os
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.card import card_of
from proxy.cli.init_acme import (
    AcmeAsked,
    Port80,
    acme_lines,
    agree_to_terms,
    certify,
    every_host,
)
from proxy.cli.init_identity import make_or_read_key, replace_identity, settle_identity
from proxy.cli.output import SYSTEM_FOLDER, USAGE, Stop, command_line, remark, say
from proxy.cli.owner import acting_as, owner_of
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder, PortalFiles, open_portal
from proxy.cli.schema import refresh_schemas
from proxy.config.config_file import plain
from proxy.config.own_identity import id_line
from proxy.config.portal_yaml import (
    ANY_SHORT_ID,
    DEFAULT_STATE,
    FILE_NAME,
    NEW,
    any_origin,
    is_set_up_by,
    load_config,
)
from proxy.config.portal_yaml_edit import COMMENT
from proxy.core.card import write_card
from proxy.core.display_names import name_problem
from proxy.core.errors import Invalid
from proxy.core.http.origin import is_dns_label
from proxy.core.identity import PrivateKey
from proxy.schemas.files import FOLDER, schema_name, write_schemas, yaml_line
from proxy.state.files import create_atomically, make_private_folder
from proxy.state.identity_key import load_identity
from proxy.state.layout import State
from proxy.state.replay import ReplayStore
from proxy.state.schema import mark_version, refuse_later

_PORTAL_YAML = """\
{schema}
# A Portal. Paths in this file are relative to it. After a change: portal-proxy check

{comment}
id: {portal_id}

# Shown to peers.
name: {name}

{about_domain}
domain: {domain}

# The scheme, host and port that others reach this Portal at; {{short_id}} stands for its own.
public_url: {public_url}

# With false one name is enough: apps have no hosts of their own, and peers call them sealed.
{app_hosts}

# Further values of Host that mean this Portal, for a proxy in front that rewrites it.
aliases: []

# Web servers in front, by the addresses or networks from which they connect (unix: over our unix
# socket). What they say of the client's address, scheme and request ID is believed; nobody else's
# word is.
# trusted_proxies: [127.0.0.1]

# The modes in which calls of peers are taken. By default both with an https public_url. With plain
# http sealed alone, since everybody on the way can read a call that is only signed.
# accept: [sealed, signed]

# How often a new sealing key is made, from 10m to 30d. What is sealed to a key can be read with it
# until it is deleted, an hour after that.
# sealing_rotation: 24h

# Where the key, the contact list and all else that must last are. Only the proxy may read it.
state: {state}

# Where the proxy listens: host:port, or unix:path.
listen:
  # The world: peers, the owner's devices, strangers.
  public: {public}
  # This Portal's own apps. Nobody else should reach it.
  apps: 127.0.0.1:8081
  # The owner. Nobody else should reach it.
  owner: 127.0.0.1:8082

# With these two files the public listener speaks TLS. They are followed when they are renewed.
# tls:
#   certificate: /etc/letsencrypt/live/8271dd.p.getportal.org/fullchain.pem
#   key: /etc/letsencrypt/live/8271dd.p.getportal.org/privkey.pem
{certificates}"""
_APART = "# The Portal itself is <short id>.<domain>, its apps are <app>.<short id>.<domain>."
_ELSEWHERE = (
    "# Peers that are added without an address are looked for at <their short id>.<domain>."
)
_STATE_OF_SERVICE = "/var/lib/portal-proxy"
_ASKED = ("name", "domain", "public_url", "acme.email")
"""The places in portal.yaml that the options fill in."""


def init(  # noqa: PLR0913 - each is an option
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What peers see. Needed where portal.yaml is missing."
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            "--domain",
            metavar="DOMAIN",
            help="The Portal will be at <short id>.DOMAIN. Needed likewise.",
        ),
    ] = None,
    config: ConfigFolder = DEFAULT_FOLDER,
    *,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            metavar="URL",
            help="Where others reach the Portal, if that isn't below DOMAIN. Either is enough.",
        ),
    ] = None,
    no_app_hosts: Annotated[
        bool,
        typer.Option(
            "--no-app-hosts",
            help="One name is enough: apps have no hosts in front of the Portal's own.",
        ),
    ] = False,
    new_identity: Annotated[
        bool,
        typer.Option("--new-identity", help="Make a new key, and so another Portal of this one."),
    ] = False,
    acme: Annotated[
        bool,
        typer.Option("--acme", help="Get a certificate, where no web server stands in front."),
    ] = False,
    email: Annotated[
        str | None,
        typer.Option(
            "--email", metavar="ADDRESS", help="With --acme: whom the authority may write to."
        ),
    ] = None,
    directory: Annotated[
        str | None,
        typer.Option(
            "--directory", metavar="URL", help="With --acme: another authority than Let's Encrypt."
        ),
    ] = None,
    agree: Annotated[
        bool, typer.Option("--agree", help="With --acme: agree to its terms without being asked.")
    ] = False,
) -> None:
    """Make what is missing: portal.yaml, the key, the contact list.

    Nothing that is there is changed, above all no key, so this can run before
    every start; a portal.yaml without a line for `id` gets it. Beside a portal.yaml,
    which may be read-only, it needs no options.

    portal.yaml names the Portal by its ID. Where it does and the key is missing, or
    is another Portal's, nothing is made: put the key of your backup back, or use
    --new-identity. No peer knows a new identity: each has to add it.

    With --no-app-hosts one name is enough, and one certificate for it: peers call apps
    sealed, through the Portal's own host, and browsers come to no app.

    With --acme the proxy needs no web server in front: it gets a certificate from Let's
    Encrypt, whose terms you are asked to agree to, and renews it while it runs. Port 80
    of the name must lead here. It goes together with --no-app-hosts, or, with hosts for
    apps, with each of them listed in portal.yaml.

    For example:
      portal-proxy init --config config/ada --name Ada --domain p.getportal.org
      portal-proxy init --name Ada --public-url https://portal.ada.example --no-app-hosts
      portal-proxy init --name Ada --public-url https://ada.example --no-app-hosts --acme
    """
    certificate = AcmeAsked(email, directory, agree) if acme else None
    if certificate is None and (email or directory or agree):
        raise Stop("--email, --directory and --agree are for --acme", status=USAGE)
    asked = _Asked(name, domain, public_url, app_hosts=not no_app_hosts, acme=certificate)
    path = config / FILE_NAME
    if not os.path.lexists(path) and not is_set_up_by(os.environ):
        _make_portal_yaml(config, asked)
    refresh_schemas(config)
    with Port80.of(config) if acme else nullcontext() as port:
        portal = open_portal(config)
        _say_what_is_ignored(portal, asked)
        key = replace_identity(portal) if new_identity else settle_identity(portal)
        _make_stores_told(portal)
        _say_who_it_is(portal, key)
        if port is not None:
            certify(portal, key.public.portal_id, port)
    service = ", or as a service: systemctl enable --now portal-proxy"
    then = f"{command_line(config, 'serve')}{service if config == SYSTEM_FOLDER else ''}"
    remark(f"Next: {command_line(config, 'check')}; then: {then}")


def _say_who_it_is(portal: PortalFiles, key: PrivateKey) -> None:
    say(f"Portal ID  {key.public.portal_id}")
    say(f"Address    {portal.config.public_origin(key.public.portal_id)}")
    say(f"Card       {write_card(card_of(portal, key.public.portal_id))}")
    remark("Send the card to friends. Each types: portal-proxy peers add 'CARD'")


def show_id(config: ConfigFolder = DEFAULT_FOLDER) -> None:
    """Print this Portal's full ID, alone on a line.

    Give it to people who want to add you. It is no secret.

    For example:
      portal-proxy id --config config/ada
    """
    portal = open_portal(config)
    # Also where portal.yaml doesn't name it yet: its owner may need the ID for that.
    named = portal.config.id is not None
    elsewhere = portal.is_key_elsewhere
    key = portal.identity() if named else load_identity(portal.key_file, external=elsewhere)
    say(key.public.portal_id)


@dataclass(frozen=True)
class _Asked:
    """What the options say of a new portal.yaml."""

    name: str | None
    domain: str | None
    public_url: str | None
    app_hosts: bool
    acme: AcmeAsked | None = None


def _make_portal_yaml(folder: Path, asked: _Asked) -> None:
    """Write a complete, commented portal.yaml, and the key that it names, where it isn't there."""
    path = folder / FILE_NAME
    if asked.name is None or (asked.domain is None and asked.public_url is None):
        example = command_line(folder, "init", "--name", "Ada", "--domain", "p.getportal.org")
        reason = f"{path} doesn't exist yet, so --name and --domain are needed, as in: {example}"
        raise Stop(reason, status=USAGE)
    text = _portal_yaml(asked, _state_of(folder))
    state = State(plain(folder / os.environ.get("PORTAL_STATE", _state_of(folder))))
    with acting_as(owner_of(state.folder)):
        refuse_later(state)
    folder.mkdir(parents=True, exist_ok=True)
    # The key first: were the file there without it, the next init would refuse to make one.
    with acting_as(owner_of(state.folder)):
        make_private_folder(state.folder)
        key = make_or_read_key(state.identity_key)
    write_schemas(folder)
    data = text.replace(f"id: {NEW}", id_line(key.public.portal_id), 1).encode()
    try:
        create_atomically(path, data, mode=0o644)
    except FileExistsError:
        return  # another init was faster; its file counts
    say(f"Made       {path}")


def _state_of(folder: Path) -> str:
    """Return the state folder of a new portal.yaml: a service's is where systemd makes it."""
    return _STATE_OF_SERVICE if folder == SYSTEM_FOLDER else DEFAULT_STATE


def _portal_yaml(asked: _Asked, state: str) -> str:
    """Return the file's text, without an ID yet; refuses what would make it another one."""
    name, domain, public_url = asked.name or "", asked.domain, asked.public_url
    app_hosts = asked.app_hosts
    wrong = name_problem(name)
    if wrong is not None:
        raise Stop(f"--name: {wrong}")
    if asked.acme is not None and app_hosts:
        what = "no certificate for all hosts of apps can be had: --no-app-hosts, or list each"
        raise Stop(f"--acme: {what} in portal.yaml (docs/setup/acme.md)", status=USAGE)
    domain = _domain_of(public_url) if domain is None and public_url else (domain or "").lower()
    if not all(map(is_dns_label, domain.split("."))):
        raise Stop(f"--domain: expected a domain such as p.getportal.org, not {domain!r:.80}")
    written = partial(
        _PORTAL_YAML.format,
        schema=yaml_line(f"{FOLDER}/{schema_name('portal.yaml')}"),
        comment=COMMENT,
        portal_id=NEW,
        name=json.dumps(name, ensure_ascii=False),
        about_domain=_ELSEWHERE if public_url else _APART,
        domain=domain,
        public_url=json.dumps(public_url) if public_url else f"https://{{short_id}}.{domain}",
        app_hosts="# app_hosts: false" if app_hosts else "app_hosts: false",
        state=state,
        public=_public_address(asked),
    )
    # First what this machine can tell: nobody agrees to terms for what can't be meant.
    text = written(certificates=acme_lines(asked.acme))
    with tempfile.TemporaryDirectory() as trial:
        (Path(trial) / FILE_NAME).write_text(text, "utf-8")
        try:
            load_config(Path(trial), {})
        except Invalid as invalid:
            first = next((p for p in invalid.problems if p.place in _ASKED), None)
            if first is None:
                raise
            option = first.place.removeprefix("acme.").replace("_", "-")
            raise Stop(f"--{option}: {first.what}") from None
    if asked.acme is None:
        return text
    return written(certificates=acme_lines(asked.acme, agree_to_terms(asked.acme)))


def _public_address(asked: _Asked) -> str:
    """Return where a new Portal listens for the world: behind a web server, or itself."""
    if asked.acme is None:
        return "0.0.0.0:8080"
    port = 443
    if asked.public_url is not None:
        with suppress(ValueError):
            port = any_origin(asked.public_url).port
    return json.dumps(f"{every_host()}:{port}")


def _domain_of(public_url: str) -> str:
    """Return what stands behind the short ID in an address, or its host where there is none."""
    try:
        host = any_origin(public_url).host
    except ValueError:
        what = f"expected https://host[:port] or http://host[:port], not {public_url!r:.80}"
        raise Stop(f"--public-url: {what}") from None
    if not is_dns_label(host.rpartition(".")[2]) or host.rpartition(".")[2].isdigit():
        raise Stop("--public-url: has an address for a host; then --domain is needed as well")
    return host.removeprefix(f"{ANY_SHORT_ID}.")


def _say_what_is_ignored(portal: PortalFiles, asked: _Asked) -> None:
    """Say which option differs from the portal.yaml that was there, and so has no effect."""
    config = portal.config
    given = [
        ("name", asked.name, config.name),
        ("domain", asked.domain and asked.domain.lower(), config.domain),
        ("public_url", asked.public_url, config.public_url),
    ]
    if asked.acme is not None and config.acme is not None:
        given += [
            ("email", asked.acme.email, config.acme.email or "none"),
            ("directory", asked.acme.directory, config.acme.directory),
        ]
    path = portal.folder / FILE_NAME
    for field, typed, kept in given:
        if typed is not None and typed != kept:
            option = f"--{field.replace('_', '-')} {typed}"
            remark(f"{option} is ignored: {path} is there and has {field}: {kept}")
    if config.app_hosts and not asked.app_hosts:
        remark(f"--no-app-hosts is ignored: {path} is there and has app_hosts: true")


def make_what_is_missing(portal: PortalFiles) -> None:
    """Make the first files of a Portal that has none yet, for ``serve --init``.

    A contact list that is missing beside a replay store was lost: its owner has to know.
    """
    settle_identity(portal)
    if not portal.state.replays.exists():
        _make_stores_told(portal)


def _make_stores_told(portal: PortalFiles) -> None:
    if make_stores(portal):
        say(f"Made       {portal.contacts.path}")


def make_stores(portal: PortalFiles) -> bool:
    """Make the empty contact list and the replay store where they are missing.

    Both belong to a Portal from its first day: a missing one is then always a loss that ``check``
    reports, and never just a Portal that hasn't been started yet. Tells whether the list was made.
    """
    mark_version(portal.state.folder)
    made = portal.contacts.create()
    replay = ReplayStore(portal.state.replays)
    replay.open(time.time())
    replay.close()
    return made
