"""Options by the environment: which variable is which, who counts, and what has none."""

import typer
from typer.core import TyperGroup

from proxy.cli.option_variables import TYPED_ALONE, variables_of
from proxy.cli.root import with_commands
from tests.cli.conftest import Home


def root() -> TyperGroup:
    found = typer.main.get_command(with_commands())
    assert isinstance(found, TyperGroup)
    return found


def test_a_variable_is_named_for_its_command_and_option() -> None:
    found = set(variables_of(root().commands))
    assert {"PORTAL_SERVE_WORKERS", "PORTAL_CHECK_JSON", "PORTAL_PEERS_ADD_ADDRESS",
            "PORTAL_BACKUP_PASSPHRASE_FILE", "PORTAL_CONFIG"} <= found  # fmt: skip


def test_what_can_not_be_taken_back_has_none() -> None:
    endings = {option.removeprefix("--").replace("-", "_").upper() for option in TYPED_ALONE}
    for variable in variables_of(root().commands):
        assert not any(variable.endswith(f"_{ending}") for ending in endings)


def test_a_variable_stands_for_the_option_and_the_command_line_counts_more(home: Home) -> None:
    assert home.run("check", PORTAL_CHECK_JSON="1").stdout.startswith("{")
    made = home.run("init", "--name", "Ada", PORTAL_INIT_NAME="Zoe", PORTAL_INIT_DOMAIN="z.example")
    assert made.status == 0
    text = (home.config / "portal.yaml").read_text()
    assert '"Ada"' in text
    assert "domain: z.example" in text


def test_a_bad_value_names_its_variable(home: Home) -> None:
    outcome = home.run("serve", PORTAL_SERVE_WORKERS="many")
    assert outcome.status == 2
    assert "PORTAL_SERVE_WORKERS" in outcome.reason


def test_no_variable_makes_a_new_identity(home: Home) -> None:
    home.run("init", "--name", "Ada", "--domain", "a.example")
    before = home.run("id").stdout
    assert home.run("init", PORTAL_INIT_NEW_IDENTITY="1").status == 0
    assert home.run("id").stdout == before
