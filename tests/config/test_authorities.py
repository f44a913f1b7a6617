"""Files with certificates that are to be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.config.authorities import read_authorities
from proxy.core.errors import Invalid
from tests.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_but_certificates_is_taken_of_a_file(tmp_path: Path) -> None:
    first, second = Authority().pem, Authority().pem
    file = tmp_path / "authorities.pem"
    file.write_bytes(b"# mine\n" + first + b"\xff\n" + second)
    found = read_authorities(file)
    assert found.count("BEGIN CERTIFICATE") == 2
    assert found.isascii()
    assert "mine" not in found


@pytest.mark.parametrize("content", [b"", b"words", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_one_is_a_problem(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "authorities.pem"
    file.write_bytes(content)
    with pytest.raises(Invalid, match="holds no certificates in PEM"):
        read_authorities(file)


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"missing\.pem"):
        read_authorities(tmp_path / "missing.pem")
