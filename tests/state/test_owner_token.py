"""The owner's token: made once, ours alone, refused where it is damaged."""

from pathlib import Path

import pytest

from proxy.core.errors import Invalid
from proxy.state.owner_token import make_owner_token, read_owner_token


def test_it_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "owner.token"
    assert read_owner_token(path) is None
    made = make_owner_token(path)
    assert make_owner_token(path) == made == read_owner_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_owner_token(tmp_path / "another") != made


@pytest.mark.parametrize("text", ["", "short", "x" * 44, "ä" * 43])
def test_what_is_no_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "owner.token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(Invalid, match="isn't a token"):
        make_owner_token(path)


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "owner.token"
    make_owner_token(path)
    path.chmod(0o644)
    with pytest.raises(Invalid, match="others can"):
        read_owner_token(path)
