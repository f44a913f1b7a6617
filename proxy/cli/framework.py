"""How every command is started, explained and ended.

``Root.main`` is the one place where a foreseeable fault becomes a line on stderr and a status.
Anything else is our own bug and keeps its traceback.
"""

import inspect
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import typer
from typer.core import TyperCommand, TyperGroup

from proxy.cli.option_variables import name_variables
from proxy.cli.output import FAILED, PROGRAM, Stop, complain, complain_of
from proxy.cli.owner import went_on_as
from proxy.core.errors import Invalid, Refusal
from proxy.state.files import Busy, Unsafe
from proxy.state.system_errors import explained


class _Formatter(Protocol):
    """What typer lays its help out with; its class has moved between versions."""

    def write(self, text: str, /) -> None:
        """Add text as it is."""


class Command(TyperCommand):
    """A command whose help is its docstring, line by line, so that examples stay as written."""

    def format_help_text(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002 - the base's
        """Write the help without wrapping it."""
        _write_as_it_is(self.help, formatter)


class Group(TyperGroup):
    """A group of commands, explained like a ``Command``."""

    def format_help_text(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002 - the base's
        """Write the help without wrapping it."""
        _write_as_it_is(self.help, formatter)


class Root(Group):
    """The group of all commands."""

    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - the base's
        super().__init__(*arguments, **more)
        name_variables(self.commands)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,  # noqa: ARG002 - the command has one name, however started
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002, FBT001, FBT002 - the base's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - the base's signature
        **extra: object,
    ) -> NoReturn:
        """Run one command and exit with its status."""
        try:
            status = super().main(
                args,
                PROGRAM,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except typer.TyperException as misuse:
            status = _explain_misuse(misuse)
        except (Stop, Invalid, Refusal, Busy, Unsafe, OSError, typer.Abort) as fault:
            status = _explain(fault)
        sys.exit(status or 0)


def _write_as_it_is(text: str | None, formatter: _Formatter) -> None:
    """Write ``text`` indented, keeping its lines."""
    formatter.write("\n")
    for line in inspect.cleandoc(text or "").splitlines():
        formatter.write(f"  {line}".rstrip() + "\n")


def _explain_misuse(misuse: typer.TyperException) -> int:
    """Print what is wrong with the command line and where its help is; return the status."""
    context = getattr(misuse, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = misuse.format_message()
    complain(f"{message}{'' if message.endswith(('.', '?')) else '.'} See: {path} --help")
    return misuse.exit_code


def _as_whom(fault: OSError) -> str:
    """Say that root went on as another user, where that may be why."""
    owner = went_on_as()
    if not owner or not isinstance(fault, PermissionError):
        return ""
    return f" (as root, this goes on as {owner}, whose the state folder is)"


def _explain(fault: Exception) -> int:
    """Print a foreseeable fault on stderr, a line for each problem; return the status."""
    if isinstance(fault, Invalid):
        complain_of(fault.problems)
    elif isinstance(fault, Stop):
        complain(fault.reason)
        return fault.status
    elif isinstance(fault, Refusal):
        complain(f"{fault.code.title} {fault.detail}".strip())
    elif isinstance(fault, OSError):
        named = f"{os.fsdecode(fault.filename)}: {explained(fault)}" if fault.filename else ""
        complain((named or fault.strerror or str(fault)) + _as_whom(fault))
    elif isinstance(fault, (Busy, Unsafe)):
        complain(str(fault))
    else:
        complain("stopped; nothing was changed")
    return FAILED
