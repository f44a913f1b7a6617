"""``apps add``: the files of a new app, from what its owner says of it."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.apps_add_report import NewApp, say_added, say_as_json, say_what_is_next
from proxy.cli.apps_files import (
    AppFiles,
    app_json,
    proxy_yaml,
    put_in_place,
    refuse_existing,
    try_out,
)
from proxy.cli.apps_images import KnownImage, compose_service, known_image
from proxy.cli.apps_questions import (
    PRIVATE,
    PRIVATE_AND_PEERS,
    Paths,
    ask_for_paths,
    ask_where,
    paths_by_options,
)
from proxy.cli.arguments import read_visibility
from proxy.cli.output import USAGE, Stop, refused_edits_stop
from proxy.cli.owner import acting_as, owner_of
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.apps import APPS_FOLDER
from proxy.config.config_file import read_config_file
from proxy.config.entrance import parse_entrance
from proxy.core.access.manifest import parse_manifest
from proxy.core.access.manifest_schema import Kind
from proxy.core.errors import Invalid
from proxy.core.http.origin import LAST_PORT, Origin, is_dns_label, parse_origin
from proxy.schemas.files import write_schemas
from proxy.state.contacts import with_visibility
from proxy.state.files import Unsafe

_UNIX = "unix:"


def add(  # noqa: PLR0913 - each is an option
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="What it is called, here and on the Portals of your peers: a-z, 0-9, hyphens.",
        ),
    ],
    *,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="Where it listens: http://host:port, https://host:port or unix:/path.",
        ),
    ] = None,
    public: Annotated[
        list[str] | None,
        typer.Option("--public", metavar="PREFIX", help="Paths for everybody."),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="PREFIX", help="Paths for peers that it may know."),
    ] = None,
    private: Annotated[
        list[str] | None,
        typer.Option("--private", metavar="PREFIX", help="Paths for your own devices."),
    ] = None,
    author_file: Annotated[
        Path | None,
        typer.Option(
            "--app-json", metavar="FILE", help="The author's file, which says all of that."
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="all|PEER", help="Peers that it may know, as by apps allow."
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="IMAGE", help="Print a service for compose, too."),
    ] = None,
    entrance: Annotated[
        str | None,
        typer.Option(
            "--entrance",
            metavar="ADDRESS",
            help="Where it alone comes in, with no token: host:port of a network of its own, or "
            "unix:/path.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=1,
            max=LAST_PORT,
            help="The port in its container, where --upstream names another or none.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the files, and write nothing.")
    ] = False,
    config: ConfigFolder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Add an app: write its app.json and proxy.yaml.

    A PREFIX is the beginning of a path, such as /peer/; each option may be given more
    than once. "/" is all that no other prefix covers, which is private unless you say
    otherwise. With none of the three you are asked at a terminal; elsewhere /peer/ is
    for peers and all else is private.

    What is there is never overwritten, and nothing is written that "check" would find
    wrong. A proxy that runs serves the app within a second. No peer may know it before
    --allow or "apps allow" says so.

    --entrance is for an app that is to need no token: host:port has to lead to the
    proxy on a network where it and the app are, and nobody else.

    --image prints a service for compose, with the app's network. Of well-known images
    (Syncthing, Node-RED and so on) the port and what they need behind a proxy is known.

    For example:
      portal-proxy apps add guestbook --upstream http://127.0.0.1:3000
      portal-proxy apps add files --upstream http://files:8000 --public /public/ --peer /
      portal-proxy apps add notes --image ada/notes --port 80 --entrance proxy.notes.internal:80
      portal-proxy apps add chat --upstream unix:/run/chat.sock --app-json chat/app.json
    """
    _refuse_name(name)
    by_options = [public or [], peer or [], private or []]
    if author_file is not None and any(by_options):
        what = "--app-json says who may enter which paths: it goes without --public, --peer"
        raise Stop(f"{what} and --private", status=USAGE)
    known = known_image(image) if image is not None else None
    if upstream is not None and (problem := _upstream_problem(upstream)):
        raise Stop(f"--upstream: {problem}", status=USAGE)
    # As root, who alone may write to the config folder of a service.
    portal = open_portal(config, as_root=True)
    folder = portal.folder / APPS_FOLDER / name
    refuse_existing(folder)
    with portal.as_owner():
        visibility = read_visibility(portal.contacts.load(), allow) if allow else None
    is_asked = sys.stdin.isatty() and not as_json
    inside = port or (known.port if known is not None else None)
    where = upstream or _where(name, image, inside, author_file, is_asked=is_asked)
    if entrance is not None and (problem := _entrance_problem(entrance)):
        raise Stop(f"--entrance: {problem}", status=USAGE)
    host = known.host if known is not None else ""
    files = {SETTINGS_FILE: proxy_yaml(name, where, host, entrance or "")}
    if author_file is not None:
        files[_kind(author_file)] = read_config_file(author_file)
    else:
        files["app.json"] = _app_json(name, by_options, inside, known, is_asked=is_asked)
    new = _tried_out(portal, name, files, image=image, inside=inside)
    if not dry_run:
        with suppress(OSError, Unsafe), acting_as(owner_of(portal.folder)):
            write_schemas(portal.folder)  # for editors alone: nothing is lost without
        put_in_place(folder, files)
        if visibility is not None:
            with portal.as_owner(), refused_edits_stop():
                portal.contacts.change(lambda before: with_visibility(before, name, visibility))
    if as_json:
        say_as_json(portal, new, folder, is_written=not dry_run)
    else:
        say_added(portal, new, folder, is_written=not dry_run)
        if not dry_run:
            say_what_is_next(portal, new, is_known=visibility is not None)


def _refuse_name(name: str) -> None:
    if is_dns_label(name):
        return
    meant = "".join(each if each.isascii() and each.isalnum() else "-" for each in name.lower())
    meant = meant.strip("-")[:63].strip("-")
    hint = f"; did you mean {meant}?" if is_dns_label(meant) else ""
    what = "a name has a-z, 0-9 and hyphens inside, at most 63: it becomes part of a host"
    raise Stop(f"{name!r:.80} can't be an app's name: {what}{hint}", status=USAGE)


def _upstream_problem(typed: str) -> str:
    """Return what is wrong with where an app listens; "" is nothing."""
    if typed.startswith(_UNIX):
        if typed.removeprefix(_UNIX).startswith(("/", "~")):
            return ""
        return "expected a whole path after unix:, such as unix:/run/guestbook.sock"
    try:
        parse_origin(typed)
    except ValueError:
        hint = ""
        with suppress(ValueError):
            hint = f"; did you mean {parse_origin(f'http://{typed}')}?"
        expected = "http://host:port, https://host:port or unix:/path, and no path behind a port"
        return f"expected {expected}, not {typed!r:.80}{hint}"
    return ""


def _entrance_problem(typed: str) -> str:
    """Return what is wrong with an entrance as it is written; "" is nothing."""
    if typed.startswith(_UNIX):
        return _upstream_problem(typed)
    try:
        parse_entrance(typed)
    except ValueError as error:
        return str(error)
    return ""


def _where(
    name: str, image: str | None, inside: int | None, author_file: Path | None, *, is_asked: bool
) -> str:
    """Return where the app listens, if --upstream doesn't say; "" leaves it to its author."""
    if image is not None:
        if inside is None:
            what = f"--port is needed: at which port does {image} listen in its container?"
            raise Stop(what, status=USAGE)
        return f"http://{name}:{inside}"
    if author_file is not None:
        return ""
    if is_asked:
        return ask_where(name, _upstream_problem)
    what = "--upstream is needed: where the app listens, such as http://127.0.0.1:3000"
    raise Stop(what, status=USAGE)


def _kind(author_file: Path) -> Kind:
    """Return what the author's file is, by its name or the end of it."""
    return "app_meta.json" if author_file.name.endswith("app_meta.json") else "app.json"


def _app_json(
    name: str,
    by_options: list[list[str]],
    inside: int | None,
    known: KnownImage | None,
    *,
    is_asked: bool,
) -> bytes:
    default = PRIVATE if known is not None else PRIVATE_AND_PEERS

    def check(paths: Paths) -> object:
        return parse_manifest("app.json", name, "app.json", app_json(name, paths))

    if any(by_options):
        paths = paths_by_options(*by_options)
    elif is_asked:
        paths = ask_for_paths(name, default, check)
    else:
        paths = default
    try:
        check(paths)
    except Invalid as invalid:
        raise Stop("; ".join(_wrong_prefixes(invalid)), status=USAGE) from None
    return app_json(name, paths, inside)


def _wrong_prefixes(invalid: Invalid) -> list[str]:
    return [
        f"{problem.place.removeprefix('paths.')}: {problem.what}" for problem in invalid.problems
    ]


def _tried_out(
    portal: PortalFiles, name: str, files: AppFiles, *, image: str | None, inside: int | None
) -> NewApp:
    app, notices = try_out(portal, name, files)
    told = tuple(map(str, notices))
    if image is None:
        return NewApp(app, files, told)
    known = known_image(image)
    if app.upstream.unix:
        raise Stop("--image goes with an upstream that has a port, not with a socket", status=USAGE)
    origin: Origin = app.upstream.origin
    environment = known.environment if known is not None else {}
    at = app.entrance.address.host if app.entrance is not None else ""
    compose = compose_service(name, image, inside or origin.port, origin, environment, at)
    return NewApp(app, files, told, compose, known)
