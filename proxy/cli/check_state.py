"""What ``check`` says of the state folder as a whole, and what the running proxy says of itself."""

import os
from collections.abc import Iterator
from pathlib import Path

from proxy.cli.health_report import running_problems
from proxy.cli.output import command_line
from proxy.cli.portal_files import PortalFiles
from proxy.config.app_settings import FILE_NAME
from proxy.config.apps import Catalogue
from proxy.config.portal_yaml import NEW
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.core.terminals.terminals import TerminalList
from proxy.state.backup_note import last_backup
from proxy.state.files import unreadable
from proxy.state.identity_key import has_id_line
from proxy.state.state_folder import problems_of
from proxy.state.tokens import read_token


def about_state_folder(portal: PortalFiles) -> Iterator[Problem]:
    """Tell why nothing can be remembered, and of tokens that are none."""
    problems = problems_of(portal.state.folder)
    yield from problems
    if any(problem.file == str(portal.state.folder) for problem in problems):
        return
    yield from _about_tokens(portal.state.tokens)


def about_the_key(portal: PortalFiles, own_id: str) -> Iterator[Problem]:
    """Tell of a key that a damaged disk could make another Portal's."""
    path = portal.key_file
    if not has_id_line(path, external=portal.is_key_elsewhere):
        what = (
            "doesn't say whose key it is, so a damaged one would pass for another Portal's. If "
            f"this is your Portal's ID, put a line before its first one: Portal ID: {own_id}"
        )
        yield Problem(str(path), "", what)


def about_backups(portal: PortalFiles, own_id: str) -> Iterator[Problem]:
    """Warn of an identity that a broken disk would end."""
    if portal.config.id == NEW or last_backup(portal.state.backup_note, own_id) is not None:
        return
    command = command_line(portal.folder, "backup", "FILE")
    what = (
        f"this identity was never backed up, and without its key nobody is this Portal: {command}"
    )
    yield Problem(str(portal.key_file), "", what)


def about_running(
    portal: PortalFiles, own_id: str, found: tuple[Problem, ...]
) -> Iterator[Problem]:
    """Tell what the proxy says that runs now, but for what was ``found`` in the files.

    Some of it is in no file: that a worker stands still, or that nothing more can be written.
    """
    known = {str(problem) for problem in found}
    for told in running_problems(portal.config.listen.owner, own_id):
        if told not in known:
            yield Problem("the running proxy", "", told)


def _about_tokens(folder: Path) -> Iterator[Problem]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are enough
    except FileNotFoundError:
        return
    except OSError as error:
        yield from unreadable(folder, error).problems
        return
    for name in filter(is_dns_label, names):
        try:
            read_token(folder / name)
        except FileNotFoundError:
            continue
        except Invalid as invalid:
            yield from invalid.problems
        except OSError as error:
            yield from unreadable(folder / name, error).problems


def about_devices(
    portal: PortalFiles, catalogue: Catalogue, terminals: TerminalList
) -> Iterator[Problem]:
    """Warn of tokens that open nothing."""
    file = str(portal.terminals.path)
    for terminal in terminals.terminals:
        app = catalogue.apps.get(terminal.app)
        if not terminal.app or terminal.app in catalogue.broken:
            continue
        if app is not None and app.device_tokens:
            continue
        if portal.has_app(terminal.app):
            what = f"is for {terminal.app}, whose {FILE_NAME} doesn't say device_tokens: true"
        else:
            what = f"is for {terminal.app}, and there is no app of this name"
        yield Problem(file, terminal.id, f"the token of {terminal.name} {what}")
