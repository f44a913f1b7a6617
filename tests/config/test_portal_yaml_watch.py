"""portal.yaml while a proxy runs: a mistake in it is told, and changes nothing until then."""

from pathlib import Path

import pytest

from proxy.config.portal_yaml import FILE_NAME, load_config
from proxy.config.portal_yaml_watch import PortalYamlWatch
from proxy.core.identity import PrivateKey

KEY, OTHER = PrivateKey(bytes(32)), PrivateKey(bytes([1]) * 32)
WELL = f"id: {KEY.public.portal_id}\nname: Ada\ndomain: p.getportal.org\n"


@pytest.fixture
def watch(tmp_path: Path) -> PortalYamlWatch:
    (tmp_path / FILE_NAME).write_text(WELL)
    watch = PortalYamlWatch(load_config(tmp_path), KEY)
    watch.refresh()
    return watch


def test_a_file_as_it_was_read_is_well(watch: PortalYamlWatch) -> None:
    watch.refresh()
    assert watch.problems == ()


def test_a_mistake_is_told_until_it_is_mended(
    watch: PortalYamlWatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_text(WELL + "nmae: Ada\n")
    watch.refresh()
    watch.refresh()
    assert [problem.place for problem in watch.problems] == ["nmae"]
    assert caplog.text.count("wouldn't start again") == 1
    (tmp_path / FILE_NAME).unlink()
    watch.refresh()
    assert "there is no such file" in str(watch.problems)
    (tmp_path / FILE_NAME).write_text(WELL)
    watch.refresh()
    assert watch.problems == ()


def test_a_change_is_no_problem_and_the_log_says_when_it_holds(
    watch: PortalYamlWatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_text(WELL + "grace: 3s\n")
    watch.refresh()
    assert watch.problems == ()
    assert "SIGHUP takes over grace" in caplog.text
    (tmp_path / FILE_NAME).write_text(WELL + "state: elsewhere\n")
    watch.refresh()
    assert "from the next start on holds state" in caplog.text


@pytest.mark.parametrize("now", ["", f"id: {OTHER.public.portal_id}\n"])
def test_a_name_that_would_keep_it_from_starting_is_told(
    watch: PortalYamlWatch, tmp_path: Path, now: str
) -> None:
    (tmp_path / FILE_NAME).write_text(WELL.replace(f"id: {KEY.public.portal_id}\n", now))
    watch.refresh()
    assert len(watch.problems) == 1
