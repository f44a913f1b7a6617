"""Every option of every command in the environment: ``PORTAL_SERVE_WORKERS`` is its ``--workers``.

An option on the command line counts more. What can't be taken back has no variable: one that was
set for one occasion, and forgotten, would do it again at each start.
"""

from collections.abc import Iterator, Mapping

from typer.core import TyperCommand, TyperGroup, TyperOption

from proxy.config.environment import PREFIX

TYPED_ALONE = frozenset(
    {"--agree", "--new-identity", "--replace", "--rotate", "--yes", "--help", "--version"}
)
"""What somebody has to type."""


def name_variables(commands: Mapping[str, object], before: str = PREFIX) -> None:
    """Give each option of ``commands`` its variable."""
    for name, command in commands.items():
        prefix = f"{before}{_capitals(name)}_"
        if isinstance(command, TyperGroup):
            name_variables(command.commands, prefix)
        elif isinstance(command, TyperCommand):
            for option, long in _options(command):
                if option.envvar is None and long not in TYPED_ALONE:
                    option.envvar = prefix + _capitals(long.removeprefix("--"))


def variables_of(commands: Mapping[str, object]) -> Iterator[str]:
    """Go through the variables that options have."""
    for command in commands.values():
        if isinstance(command, TyperGroup):
            yield from variables_of(command.commands)
        elif isinstance(command, TyperCommand):
            for option, _ in _options(command):
                if isinstance(option.envvar, str):
                    yield option.envvar


def _options(command: TyperCommand) -> Iterator[tuple[TyperOption, str]]:
    """Go through the options, each with its long name."""
    for option in command.params:
        if isinstance(option, TyperOption):
            yield option, next(name for name in option.opts if name.startswith("--"))


def _capitals(name: str) -> str:
    return name.upper().replace("-", "_")
