"""What ``check`` says of the environment: variables that count, and those that mean nothing."""

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import typer
from typer.core import TyperGroup

from proxy.cli.app_environment import OF_APPS
from proxy.cli.option_variables import variables_of
from proxy.config.environment import PREFIX, WHERE, unknown_variables
from proxy.config.portal_yaml import FILE_NAME, VARIABLES, Config
from proxy.core.errors import Problem


def about_variables(ctx: typer.Context, environ: Mapping[str, str] = os.environ) -> list[Problem]:
    """Warn of variables that look like ours and mean nothing: perhaps mistyped ones."""
    root = ctx.find_root().command
    options = variables_of(root.commands) if isinstance(root, TyperGroup) else ()
    return list(_unknown(environ, {"PORTAL_CONFIG", *VARIABLES, *options, *OF_APPS}))


def about_replaced(config: Config) -> Iterator[Problem]:
    """Tell which keys of the file don't count."""
    for place in config.replaced:
        variable = PREFIX + place.replace(".", "_").upper()
        yield Problem(str(config.folder / FILE_NAME), place, f"{variable} counts in its place")


def _unknown(environ: Mapping[str, str], known: Iterable[str]) -> Iterator[Problem]:
    names = sorted(known)
    for variable in unknown_variables(environ, names):
        close = get_close_matches(variable, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        yield Problem(WHERE, variable, f"isn't known, and has no effect{hint}")
