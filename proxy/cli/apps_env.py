"""``apps env``: what has to be in an app's environment so that it finds its Portal."""

import sys
from typing import Annotated, Literal

import typer

from proxy.cli.app_environment import (
    NoProxy,
    as_env_file,
    as_shell,
    direct_hosts,
    environment_of,
)
from proxy.cli.arguments import AppName, unknown_app
from proxy.cli.output import USAGE, Stop, command_line, remark, say_json, say_lines
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.config.listen import Address, parse_address
from proxy.core.text_files.text import shown

_EVERY_HOST = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - compared with, not bound to


def env(
    app: AppName,
    *,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Where the app reaches the apps listener, if not as portal.yaml says.",
        ),
    ] = "",
    no_proxy: NoProxy = None,
    form: Annotated[
        Literal["shell", "env-file"],
        typer.Option("--format", help="For eval at a shell, or for Compose and docker run."),
    ] = "shell",
    config: ConfigFolder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Print the environment that an app needs: HTTP_PROXY, NO_PROXY and its token.

    Keep it secret: who has the token calls as this app. Loopback and, in Node, https
    go past the proxy; what else the app reaches by plain http, name by --no-proxy.

    For example:
      eval "$(portal-proxy apps env guestbook)"
      portal-proxy apps env guestbook --no-proxy db --format env-file > guestbook.env
      portal-proxy apps env guestbook --address proxy:8081 --json
    """
    portal = open_portal(config)
    if not portal.has_app(app):
        raise unknown_app(app, portal.catalogue().apps)
    where = _typed_address(address) if address else _own_address(portal)
    direct = direct_hosts(no_proxy or ())
    contacts = portal.contacts.load()
    hosts = [peer.origin.host for peer in contacts.peers]
    token = portal.tokens.token(app)
    variables = environment_of(app, token, where, peer_hosts=hosts, direct=direct)
    if as_json:
        say_json(variables)
        return
    say_lines((as_shell if form == "shell" else as_env_file)(variables))
    if form == "shell" and sys.stdout.isatty():
        remark(f'To set it in this shell: eval "$({command_line(config, "apps", "env", app)})"')


def _typed_address(typed: str) -> str:
    try:
        address = parse_address(typed)
    except ValueError:
        address = Address()
    if address.unix or not address.port:
        raise Stop(f"--address: expected host:port, not {shown(typed)}", status=USAGE)
    return str(address)


def _own_address(portal: PortalFiles) -> str:
    """Return where the apps listener is, if that says how an app reaches it.

    It is the one listener that all apps share; what is an app's alone would be asked for first.
    """
    listener = portal.config.listen.apps
    if listener.unix:
        what = "is a Unix socket, which no HTTP_PROXY can name"
        instead = "set listen.apps in portal.yaml to 127.0.0.1:8081"
    elif not listener.port:
        what = "has another port at each start"
        instead = "give listen.apps in portal.yaml a port"
    elif listener.host in _EVERY_HOST:
        what = "says not by which name the app reaches it"
        port = listener.port
        raise Stop(
            f"the apps listener at {listener} {what}: --address 127.0.0.1:{port} for an app on "
            f"this machine, --address HOST:{port} for one in a container, to which the proxy is "
            "HOST"
        )
    else:
        return str(listener)
    raise Stop(f"the apps listener, {listener}, {what}: {instead}, or give --address HOST:PORT")
