"""``peers edit``: the contact list in the owner's editor, put in place only when it is right."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import typer

from proxy.cli.output import FAILED, Stop, complain_of
from proxy.core.errors import Invalid, Problem
from proxy.state.contacts import ContactStore
from proxy.state.system_errors import naming

_EDITORS = ("vi", "nano", "ed")
"""Tried in this order where neither VISUAL nor EDITOR is set."""


def edit_contacts(store: ContactStore) -> None:
    """Let the owner edit the list; on errors they are shown and the owner is asked what to do."""
    try:
        store.change_text(_edited, _ask_whether_to_edit_again)
    except Invalid as invalid:
        if not sys.stdin.isatty():
            raise
        complain_of(invalid.problems[-1:])  # the others were shown with the question
        raise typer.Exit(FAILED) from None


def _edited(text: str) -> str:
    """Return what the owner makes of ``text`` in the editor; a failed editor changes nothing."""
    with tempfile.TemporaryDirectory(prefix="portal-peers-") as folder:
        path = Path(folder) / "contacts.yaml"
        with naming(path):
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
        command = [*_editor(), str(path)]
        try:
            # The owner's own editor, named by the owner's own environment.
            status = subprocess.run(command, check=False).returncode  # noqa: S603 - see above
        except OSError as error:
            raise Stop(f"{command[0]} can't be started ({error.strerror}): set EDITOR") from None
        if status != 0:
            raise Stop(f"{command[0]} ended with status {status}; nothing was changed")
        return path.read_text(encoding="utf-8", errors="surrogateescape")


def _editor() -> list[str]:
    """Return the words of the editor's command."""
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    try:
        words = shlex.split(chosen or "")
    except ValueError as error:
        raise Stop(f"VISUAL or EDITOR can't be read as a command: {error}") from None
    if words:
        return words
    for name in _EDITORS:
        if shutil.which(name):
            return [name]
    raise Stop("no editor was found: set EDITOR, as in: EDITOR=nano portal-proxy peers edit")


def _ask_whether_to_edit_again(problems: tuple[Problem, ...]) -> bool:
    """Show what is wrong and ask; where nobody can answer, give up."""
    if not sys.stdin.isatty():
        return False
    complain_of(problems)
    return typer.confirm("Edit it again?", default=True, err=True)
