"""The key in the state folder, held against the ID in portal.yaml."""

from pathlib import Path

import pytest

from proxy.config.own_identity import load_own_identity
from proxy.config.portal_yaml import Config, load_config
from proxy.core.errors import Invalid, Problem
from proxy.core.identity import ID_LENGTH, PrivateKey
from proxy.state.identity_key import MissingKey, create_identity

OTHER = PrivateKey(bytes(32)).public.portal_id


def config(folder: Path, portal_id: str | None) -> Config:
    line = "" if portal_id is None else f"id: {portal_id}\n"
    (folder / "portal.yaml").write_text(f"{line}name: Ada\ndomain: a.example\nstate: state\n")
    return load_config(folder)


def problem(folder: Path, portal_id: str | None) -> Problem:
    with pytest.raises(Invalid) as caught:
        load_own_identity(config(folder, portal_id))
    (found,) = caught.value.problems
    return found


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return create_identity(tmp_path / "state" / "identity.key")


def test_the_key_that_is_named_is_this_portal(tmp_path: Path, key: PrivateKey) -> None:
    found = load_own_identity(config(tmp_path, key.public.portal_id))
    assert found.public == key.public


def test_with_new_any_key_is(tmp_path: Path, key: PrivateKey) -> None:
    assert load_own_identity(config(tmp_path, "new")).public == key.public


def test_an_unnamed_one_is_refused_with_the_line_to_add(tmp_path: Path, key: PrivateKey) -> None:
    found = problem(tmp_path, None)
    assert (found.file, found.place) == (str(tmp_path / "portal.yaml"), "id")
    assert f"id: {key.public.portal_id}" in found.what
    assert "`portal-proxy init`" in found.what


def test_another_portal_s_key_is_refused_with_both_ways_out(
    tmp_path: Path, key: PrivateKey
) -> None:
    found = problem(tmp_path, OTHER)
    assert found.file == str(tmp_path / "state" / "identity.key")
    for word in (key.public.portal_id, OTHER, "backup", "init --new-identity"):
        assert word in found.what


def test_a_missing_key_of_a_named_portal_is_a_loss(tmp_path: Path) -> None:
    found = problem(tmp_path, OTHER)
    for word in (OTHER, "is missing", "`portal-proxy restore FILE`", "init --new-identity"):
        assert word in found.what


@pytest.mark.parametrize("portal_id", [None, "new"])
def test_a_missing_key_of_nobody_yet_is_made_by_init(tmp_path: Path, portal_id: str | None) -> None:
    with pytest.raises(MissingKey, match="`portal-proxy init` makes a new Portal"):
        load_own_identity(config(tmp_path, portal_id))


@pytest.mark.parametrize("text", ["a" * 6, "a" * (ID_LENGTH - 1), "New", "", "[new]", "A" * 103])
def test_what_is_no_id_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Invalid, match=r"id: expected"):
        config(tmp_path, text)


def test_a_key_that_a_secret_store_keeps_may_be_behind_a_link_and_is_held_against_the_id(
    tmp_path: Path,
) -> None:
    kept = create_identity(tmp_path / "store" / "a-secret")
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / "identity.key"
    link.symlink_to(tmp_path / "store" / "a-secret")
    text = "name: Ada\ndomain: a.example\nidentity_key: run/identity.key\nid: "
    (tmp_path / "portal.yaml").write_text(text + kept.public.portal_id)
    assert load_own_identity(load_config(tmp_path)).public == kept.public
    (tmp_path / "portal.yaml").write_text(text + OTHER)
    with pytest.raises(Invalid, match=str(link)):
        load_own_identity(load_config(tmp_path))
    link.unlink()
    with pytest.raises(Invalid, match="is missing"):
        load_own_identity(load_config(tmp_path))
