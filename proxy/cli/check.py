"""``check``: every problem of every file of a Portal at once, and what is legal but looks wrong."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer

from proxy.cli.check_acme import about_acme
from proxy.cli.check_entrances import about_entrances
from proxy.cli.check_environment import about_replaced, about_variables
from proxy.cli.check_state import (
    about_backups,
    about_devices,
    about_running,
    about_state_folder,
    about_the_key,
)
from proxy.cli.check_upstreams import (
    about_loops,
    about_surplus_responses,
    about_trusting_apps,
)
from proxy.cli.output import Stop, command_line, counted, say, say_json
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.cli.schema import about_schemas
from proxy.config.apps import App, Catalogue, load_catalogue
from proxy.config.certificate import Certificate
from proxy.config.portal_yaml import FILE_NAME, Config
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import MODES, Access, ContactList, Mode
from proxy.core.errors import Invalid, LaterVersion, Problem
from proxy.http.client.look import Finding, look_at_all
from proxy.server.sockets import most_descriptors
from proxy.state.files import Unsafe, check_private
from proxy.state.replay_file import Damaged, is_damage, read_stand
from proxy.state.sealing_keys import SealingKeyStore
from proxy.state.surplus_responses import SurplusResponses
from proxy.state.system_errors import explained

_TRUSTED = "trusted_proxies"


@dataclass(frozen=True)
class Findings:
    """What ``check`` found: problems stop something from working, warnings are worth a look.

    Notices tell what is as it should be for some owners and not for others.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    config: Config | None = None
    """None where portal.yaml can't be read."""
    notices: tuple[Problem, ...] = ()
    upstreams: Mapping[str, Finding] = field(default_factory=dict)
    """Whether each app's server is there just now. It may start later: that is no problem."""

    @property
    def accept(self) -> tuple[Mode, ...] | None:
        """The modes in which peers' calls are accepted."""
        if self.config is None:
            return None
        return tuple(mode for mode in MODES if mode in self.config.accept)


def check(
    ctx: typer.Context, *, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False
) -> None:
    """Show everything that is wrong with any file.

    Reads portal.yaml, every app.json and proxy.yaml, the key, the contact list, the
    terminals, the certificate, the sealing keys and the replay store; exit status 1
    when there is a problem. Warnings and notices don't count. It changes nothing,
    and the proxy may be running meanwhile. It also says in which modes calls are
    accepted. If the proxy runs, what it says is wrong with it is a problem, too.

    For example:
      portal-proxy check --config config/ada
    """
    findings = inspect(config)
    findings = replace(
        findings,
        problems=(*findings.problems, *_told_by_the_proxy(config, findings)),
        warnings=(*findings.warnings, *about_variables(ctx)),
        upstreams=_upstreams(config),
    )
    if as_json:
        say_json(
            {
                "ok": not findings.problems,
                "accept": findings.accept,
                "problems": [problem.members() for problem in findings.problems],
                "warnings": [warning.members() for warning in findings.warnings],
                "notices": [notice.members() for notice in findings.notices],
                "upstreams": dict(findings.upstreams),
            }
        )
    else:
        for problem in findings.problems:
            say(f"problem: {problem}")
        for warning in findings.warnings:
            say(f"warning: {warning}")
        for notice in findings.notices:
            say(f"notice: {notice}")
        if findings.config is not None:
            say(f"Accepted: {_accepted(findings.config)}.")
        if findings.upstreams:
            told = ", ".join(f"{name} {found}" for name, found in findings.upstreams.items())
            say(f"Apps: {told}.")
    if findings.problems:
        raise Stop(f"{counted(len(findings.problems), 'problem')} found")
    if not as_json:
        say("No problems found.")


def inspect(folder: Path) -> Findings:
    """Look at every file of the Portal in ``folder``; raises nothing for what is wrong with one."""
    catalogue = load_catalogue(folder)
    problems = [*catalogue.problems, *_about_tokens(catalogue)]
    warnings = [*catalogue.notices]
    try:
        portal = open_portal(folder)
    except Invalid as invalid:
        return _without_state(folder, invalid, problems, warnings)
    warnings += _about_the_portal(portal)
    warnings += about_acme(portal)
    warnings += about_schemas(folder)
    try:
        own_id = portal.identity().public.portal_id
        warnings += about_the_key(portal, own_id)
        warnings += about_backups(portal, own_id)
    except Invalid as invalid:
        own_id = ""
        problems += invalid.problems
    hosts = None
    if own_id:
        hosts = Hosts(portal.config.public_origin(own_id), portal.config.aliases)
    problems += about_loops(catalogue, portal.config.listen, hosts)
    warnings += about_trusting_apps(catalogue)
    problems += about_entrances(catalogue, portal.config, warnings)
    problems += about_state_folder(portal)
    try:
        portal.peer_authorities()
    except Invalid as invalid:
        problems += invalid.problems
    try:
        sightings = SurplusResponses(portal.state.surplus_responses)
        warnings += about_surplus_responses(sightings, catalogue)
    except Invalid as invalid:
        warnings += invalid.problems
    try:
        warnings += _about_contacts(portal, catalogue, portal.contacts.load(), own_id)
    except Invalid as invalid:
        problems += invalid.problems
    for read in (
        lambda: warnings.extend(about_devices(portal, catalogue, portal.terminals.load())),
        portal.pairing.load,
    ):
        try:
            read()
        except Invalid as invalid:
            problems += invalid.problems
    wrong, doubtful = _about_the_replay_store(portal.state.replays)
    problems += wrong
    warnings += doubtful
    now = time.time()
    wrong, doubtful = _about_the_certificate(portal, catalogue, own_id, now)
    problems += wrong
    warnings += doubtful
    problems += SealingKeyStore(portal.state.sealing, portal.config.sealing_rotation).inspect(now)
    notices = [
        *_notices(str(portal.folder / FILE_NAME), portal.config),
        *about_replaced(portal.config),
    ]
    return Findings(tuple(problems), tuple(warnings), portal.config, tuple(notices))


def _without_state(
    folder: Path, invalid: Invalid, problems: list[Problem], warnings: list[Problem]
) -> Findings:
    """Return what is found where nobody can look at the state: why, and what else there is."""
    if isinstance(invalid, LaterVersion):
        return Findings(tuple(invalid.problems), ())  # of all else the later program tells
    what = "until this can be read, the key, the contact list and the replay store can't be found"
    told = Problem(str(folder / FILE_NAME), "", what)
    return Findings((*invalid.problems, *problems), (*warnings, told))


def _told_by_the_proxy(folder: Path, findings: Findings) -> Iterator[Problem]:
    """Tell what a proxy that runs now says is wrong with it."""
    if findings.config is None:
        return
    portal = open_portal(folder)
    with suppress(Invalid):  # of a key that can't be read is told already
        own_id = portal.identity().public.portal_id
        yield from about_running(portal, own_id, findings.problems)


def _upstreams(folder: Path) -> dict[str, Finding]:
    apps = load_catalogue(folder).apps
    return asyncio.run(look_at_all({name: apps[name].upstream for name in sorted(apps)}))


def _accepted(config: Config) -> str:
    """Say in which modes peers' calls are accepted, and whom that leaves out."""
    if len(config.accept) == len(MODES):
        return "sealed and signed calls"
    if "signed" in config.accept:
        return "signed calls alone; sealed ones are refused"
    why = ""
    if not config.app_hosts:
        why = ", since they name apps' hosts and app_hosts is false"
    elif config.is_plain_http:
        why = ", since public_url is plain http and everybody on the way could read them"
    return f"sealed calls alone; signed ones are refused{why}"


def _about_the_replay_store(path: Path) -> tuple[list[Problem], list[Problem]]:
    """Return why no store can be there, and what is wrong with this one, which is made anew.

    A running proxy may have it open meanwhile.
    """
    wrong: list[Problem] = []
    doubtful: list[Problem] = []
    then = "the proxy makes a new one, and each peer's next call is sent twice"
    try:
        check_private(path)
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            read_stand(store)
    except FileNotFoundError:
        doubtful.append(Problem(str(path), "", f"is missing; {then}"))
    except (sqlite3.Error, Damaged) as error:
        kind = doubtful if is_damage(error) else wrong
        what = f"can't be read as a replay store: {error}"
        kind.append(Problem(str(path), "", f"{what}; {then}" if kind is doubtful else what))
    except OSError as error:
        wrong.append(Problem(str(path), "", f"can't be used: {explained(error)}"))
    except Unsafe as error:
        wrong.append(Problem(str(path), "", f"can't be used: {error}"))
    return wrong, doubtful


def _about_the_portal(portal: PortalFiles) -> Iterator[Problem]:
    """Warn of what portal.yaml allows but an owner may not want."""
    config = portal.config
    file = str(portal.folder / FILE_NAME)
    if "sealed" not in config.accept:
        what = "sealed calls are refused: peers get in only where their owners pinned you to signed"
        yield Problem(file, "accept", what)
    if config.is_plain_http and "signed" in config.accept:
        what = (
            "is plain http, and signed calls are accepted: they can't be forged or changed, but "
            "everybody on the way can read them"
        )
        yield Problem(file, "public_url", what)
    if config.app_hosts and not config.has_domain:
        what = (
            "has a host of a single name, or an address: browsers keep no cookie for the apps of "
            "such a host, so no device can be paired; ada.localhost would do"
        )
        yield Problem(file, "public_url", what)
    if shortage := replace(config.limits, descriptors=most_descriptors()).shortage():
        yield Problem(file, "limits.connections", shortage)
    if config.limits.rate_per_client is not None:
        yield from _about_strangers(file, config)
    for network in config.trusted_proxies.networks:
        if network.prefixlen == 0:
            what = f"{network} is everybody: any client can tell apps any address, scheme and ID"
            yield Problem(file, _TRUSTED, what)
    if config.trusted_proxies.unix and not config.listen.public.unix:
        what = f"unix is for a unix socket, and listen.public is at {config.listen.public}"
        yield Problem(file, _TRUSTED, what)


def _is_server_unnamed(config: Config) -> bool:
    """Tell whether a web server has to be before this proxy, and nobody named it."""
    return not (config.is_plain_http or config.tls or config.trusted_proxies)


def _about_strangers(file: str, config: Config) -> Iterator[Problem]:
    """Warn where a limit for each network of strangers holds for all of them together, or none."""
    place, trusted = "limits.rate_per_client", config.trusted_proxies
    if config.listen.public.unix and not trusted.unix:
        what = (
            "holds for nobody: who comes over a unix socket can't be told apart. If a web server "
            f"before it tells who asks, write unix under {_TRUSTED}"
        )
        yield Problem(file, place, what)
    elif _is_server_unnamed(config):
        what = (
            "holds for all strangers together: they come from the web server before this proxy. "
            f"Name it under {_TRUSTED}"
        )
        yield Problem(file, place, what)


def _notices(file: str, config: Config) -> Iterator[Problem]:
    """Tell of what is right for some owners, and an oversight of others."""
    if _is_server_unnamed(config):
        what = (
            "is https, and this proxy speaks no TLS: if a web server before it does, name it under "
            f"{_TRUSTED}, or apps and the log take its address for that of every client"
        )
        yield Problem(file, "public_url", what)


def _about_contacts(
    portal: PortalFiles, catalogue: Catalogue, contacts: ContactList, own_id: str
) -> Iterator[Problem]:
    """Warn of settings that can't have the effect that somebody may expect of them."""
    file = str(portal.contacts.path)
    for name in sorted(contacts.apps):
        if not portal.has_app(name):
            yield Problem(file, f"apps.{name}", "there is no app of this name")
    for app in catalogue.apps.values():
        if _asks_for_peers(app) and not _allows_any(contacts, app.name):
            command = command_line(portal.folder, "apps", "allow", app.name, "all")
            what = f"{app.name} has paths for peers but may know none of them: {command}"
            yield Problem(file, f"apps.{app.name}", what)
    for contact in contacts.peers:
        if contact.mode == "signed" and contact.address.startswith("http://"):
            what = (
                f"{contact.name} is called signed, not sealed, over plain http: everybody on the "
                "way can read it"
            )
            yield Problem(file, f"peers.{contact.id}", what)
        if contact.mode == "signed" and "signed" not in portal.config.accept:
            what = (
                f"{contact.name} is called signed; if it calls likewise it is refused here, where "
                "signed calls aren't accepted"
            )
            yield Problem(file, f"peers.{contact.id}", what)
    if contacts.find(own_id):
        yield Problem(file, "peers", f"{own_id} is this Portal's own ID")


def _about_the_certificate(
    portal: PortalFiles, catalogue: Catalogue, own_id: str, now: float
) -> tuple[list[Problem], list[Problem]]:
    """Return the problems with the certificate, and what is worth a warning.

    ``own_id`` is "" where the Portal's key can't be read: then nobody knows the names.
    """
    try:
        certificate = portal.certificate()
    except Invalid as invalid:
        return invalid.problems, []
    if certificate is None:
        return [], []
    problem, warning = certificate.problem(now), certificate.warning(now)
    warnings = [warning] if warning else []
    if portal.config.is_plain_http:
        what = "is plain http, but the public listener speaks TLS: others can't reach it there"
        warnings.append(Problem(str(portal.folder / FILE_NAME), "public_url", what))
    problems = [problem] if problem else []
    if own_id:
        host = portal.config.public_origin(own_id).host
        if not certificate.covers(host):
            what = f"isn't for {host}, the Portal's own host: sealed calls of peers don't get here"
            problems.append(Problem(certificate.file, "", what))
        if portal.config.app_hosts:
            warnings += _about_certified_apps(certificate, host, catalogue)
    return problems, warnings


def _about_certified_apps(
    certificate: Certificate, host: str, catalogue: Catalogue
) -> Iterator[Problem]:
    apps = [f"{name}.{host}" for name in sorted(catalogue.apps)] or [f"*.{host}"]
    missing = [name for name in apps if not certificate.covers(name)]
    if missing and not certificate.covers(f"*.{host}"):
        what = f"isn't for {', '.join(missing)}: expected *.{host} among its names"
        yield Problem(certificate.file, "", what)


def _about_tokens(catalogue: Catalogue) -> Iterator[Problem]:
    """Tell of token files that the proxy couldn't write."""
    for app in catalogue.apps.values():
        if app.token_file is not None and not os.access(app.token_file.parent, os.W_OK | os.X_OK):
            what = f"{app.token_file.parent} isn't a folder that can be written to"
            yield Problem(f"apps/{app.name}/proxy.yaml", "token_file", what)


def _allows_any(contacts: ContactList, app: str) -> bool:
    """Tell whether the owner let ``app`` know anybody, be it of no peers yet."""
    return contacts.apps.get(app, "none") not in {"none", frozenset()}


def _asks_for_peers(app: App) -> bool:
    return any(rule.access is Access.PEER for rule in app.rules.rules)
