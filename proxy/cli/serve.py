"""``serve``: run the proxy in the foreground until it is told to stop."""

from typing import Annotated

import typer

from proxy.cli.init import make_what_is_missing
from proxy.cli.init_acme import Port80, certify, is_certificate_missing
from proxy.cli.output import Stop, command_line, complain_of, counted
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder, PortalFiles, open_portal
from proxy.core.errors import Invalid, Problem

MOST_WORKERS = 64

Workers = Annotated[
    int, typer.Option("--workers", min=1, max=MOST_WORKERS, help="Processes that share the work.")
]


Init = Annotated[
    bool, typer.Option("--init", help="First make what is missing, as init does: in containers.")
]


def serve(
    *, config: ConfigFolder = DEFAULT_FOLDER, workers: Workers = 1, init: Init = False
) -> None:
    """Run the proxy until Ctrl-C or SIGTERM.

    It won't start with a mistake in portal.yaml, the key, the contact list, the
    terminals or the certificate. An app whose files are wrong is reported and left
    out; the others are served. Running requests get the time to end that portal.yaml
    gives them; a second Ctrl-C ends at once. SIGHUP takes portal.yaml over.

    With --init it makes a key where portal.yaml names no Portal yet, and never in the
    place of one that it names: then, too, nothing is served until the file does.

    For example:
      portal-proxy serve --config config/ada
      portal-proxy serve --workers 4
    """
    portal = open_portal(config)
    if init:
        make_what_is_missing(portal)
        if is_certificate_missing(portal):
            with Port80.of(config) as port:
                certify(portal, portal.identity().public.portal_id, port, is_asked_for=False)
    problems = start_problems(portal)
    if problems:
        complain_of(problems)
        command = command_line(config, "check")
        raise Stop(f"not started because of {counted(len(problems), 'problem')}; see: {command}")
    from proxy.server.run import serve as run  # noqa: PLC0415 - only this command pays for the server

    raise typer.Exit(run(portal.config, workers))


def start_problems(portal: PortalFiles) -> list[Problem]:
    """Return every problem of the files without which a proxy can't run."""
    problems: list[Problem] = []
    for read in (portal.identity, portal.contacts.load, portal.terminals.load, portal.certificate):
        try:
            read()
        except Invalid as invalid:
            problems += invalid.problems
    return problems
