"""What ``check`` says of the environment."""

from tests.cli.conftest import Home


def test_a_variable_that_means_nothing_is_a_warning(ada: Home) -> None:
    said = ada.run("check", PORTAL_NAEM="x", PORTAL_CONFIG="config", PORTAL_SERVE_WORKERS="2")
    (line,) = [line for line in said.stdout.splitlines() if "the environment" in line]
    assert line.startswith("warning: the environment: PORTAL_NAEM: isn't known")
    assert line.endswith("did you mean PORTAL_NAME?")


def test_a_key_of_the_file_that_does_not_count_is_told(ada: Home) -> None:
    said = ada.run("check", PORTAL_NAME="Zoe").stdout
    assert "notice: config/portal.yaml: name: PORTAL_NAME counts in its place" in said
