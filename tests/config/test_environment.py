"""portal.yaml's keys in the environment: which variable is which key, and who counts."""

from pathlib import Path

import pytest

from proxy.config.environment import unknown_variables
from proxy.config.limits import LimitsFile
from proxy.config.listen import Address, ListenFile
from proxy.config.portal_yaml import VARIABLES, Config, load_config
from proxy.config.timeouts import TimeoutsFile
from proxy.core.errors import Invalid, Problem
from proxy.core.text_files.schema import Section

_TEXT = "name: Ada\ndomain: a.example\naliases: [one.example]\nlisten:\n  apps: 127.0.0.1:1\n"


def load(folder: Path, text: str | None = _TEXT, **environ: str) -> Config:
    if text is not None:
        (folder / "portal.yaml").write_text(text)
    return load_config(folder, environ)


def problems(folder: Path, **environ: str) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        load(folder, **environ)
    return caught.value.problems


def test_every_key_has_a_variable() -> None:
    sections: dict[str, type[Section]] = {
        "LISTEN": ListenFile,
        "LIMITS": LimitsFile,
        "TIMEOUTS": TimeoutsFile,
    }
    for section, model in sections.items():
        assert {f"PORTAL_{section}_{name.upper()}" for name in model.model_fields} <= VARIABLES
    assert {
        "PORTAL_ID", "PORTAL_NAME", "PORTAL_DOMAIN", "PORTAL_PUBLIC_URL", "PORTAL_STATE",
        "PORTAL_TLS_CERTIFICATE", "PORTAL_TLS_KEY", "PORTAL_GRACE", "PORTAL_IDENTITY_KEY",
    } <= VARIABLES  # fmt: skip


def test_without_variables_the_file_alone_counts(tmp_path: Path) -> None:
    config = load(tmp_path, HOME="/root", PORTAL_CONFIG="elsewhere")
    assert (config.name, config.replaced) == ("Ada", ())


def test_a_variable_counts_and_it_is_told_where_the_file_has_the_key_too(tmp_path: Path) -> None:
    config = load(tmp_path, PORTAL_NAME="Zoe", PORTAL_GRACE="3s", PORTAL_LISTEN_APPS="127.0.0.1:2")
    assert (config.name, config.grace) == ("Zoe", 3.0)
    assert config.listen.apps == Address("127.0.0.1", 2)
    assert set(config.replaced) == {"name", "listen.apps"}


def test_the_other_keys_of_a_section_are_the_file_s(tmp_path: Path) -> None:
    config = load(tmp_path, PORTAL_LISTEN_PUBLIC="unix:public.sock")
    assert config.listen.apps == Address("127.0.0.1", 1)
    assert config.listen.public.unix


@pytest.mark.parametrize(
    ("text", "items"),
    [("", ()), ("a.example", ("a.example",)), ("a.b, c.d:8", ("a.b", "c.d:8"))],
)  # fmt: skip
def test_a_list_is_written_with_commas(tmp_path: Path, text: str, items: tuple[str, ...]) -> None:
    assert load(tmp_path, PORTAL_ALIASES=text).aliases == items


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("PORTAL_NAME", "", "a name has"),
        ("PORTAL_LIMITS_BODY", "lots", "expected a size"),
        ("PORTAL_TIMEOUTS_HEAD", "soon", "expected"),
        ("PORTAL_ACCEPT", "sealed,nothing", "not 'nothing'"),
        ("PORTAL_LISTEN_PUBLIC", "127.0.0.1:1", "the same address"),
        ("PORTAL_ALIASES", "a b", "expected host"),
        ("PORTAL_ID", "me", "full ID"),
    ],
)
def test_a_bad_value_names_its_variable(
    tmp_path: Path, variable: str, value: str, what: str
) -> None:
    (found,) = problems(tmp_path, **{variable: value})
    assert what in found.what
    if variable != "PORTAL_LISTEN_PUBLIC":  # wrong as a pair, of which the file has the other one
        assert (found.file, found.place) == ("the environment", variable)


def test_a_mistake_of_the_file_is_still_the_file_s(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        load(tmp_path, "name: Ada\ndomain: 5\ngrace: x\n", PORTAL_GRACE="y", PORTAL_NAME="Zoe")
    found = {(each.file, each.place) for each in caught.value.problems}
    assert found == {(str(tmp_path / "portal.yaml"), "domain"), ("the environment", "PORTAL_GRACE")}


def test_no_file_is_needed_where_the_environment_says_enough(tmp_path: Path) -> None:
    config = load(tmp_path, None, PORTAL_NAME="Zoe", PORTAL_DOMAIN="z.example", PORTAL_STATE="/s")
    assert (config.name, config.domain, config.state) == ("Zoe", "z.example", Path("/s"))


def test_a_name_alone_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no such file"):
        load(tmp_path, None, PORTAL_NAME="Zoe")


def test_a_file_that_is_no_mapping_stays_wrong(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="expected keys with values"):
        load(tmp_path, "- a\n", PORTAL_NAME="Zoe", PORTAL_DOMAIN="z.example")


def test_a_credential_of_systemd_s_is_the_key_unless_another_file_is_named(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert load(tmp_path, CREDENTIALS_DIRECTORY=folder).identity_key is None
    (tmp_path / "identity.key").write_text("")
    assert load(tmp_path, CREDENTIALS_DIRECTORY=folder).identity_key == tmp_path / "identity.key"
    named = load(tmp_path, CREDENTIALS_DIRECTORY=folder, PORTAL_IDENTITY_KEY="/run/key")
    assert named.identity_key == Path("/run/key")


def test_a_variable_that_means_nothing_is_found() -> None:
    environ = {"PORTAL_NAEM": "x", "PORTAL_NAME": "y", "HOME": "/"}
    assert unknown_variables(environ, VARIABLES) == ("PORTAL_NAEM",)
