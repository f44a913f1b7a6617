"""What the system had against a file: which one, why, and what to do."""

import errno
from pathlib import Path

import pytest

from proxy.state.system_errors import explained, naming


def error_of(number: int) -> OSError:
    return OSError(number, "Some fault", "inner", None, "other")


@pytest.mark.parametrize(
    ("number", "then"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "user"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "the system's own log"),
    ],
)
def test_it_says_what_to_do(number: int, then: str) -> None:
    assert explained(error_of(number)).startswith("Some fault: ")
    assert then in explained(error_of(number))


def test_what_isnt_known_is_told_as_it_is() -> None:
    assert explained(error_of(errno.EPIPE)) == "Some fault"
    assert explained(OSError("no number")) == "no number"


def test_an_error_names_the_file_that_it_is_about() -> None:
    with pytest.raises(OSError, match="/state/file") as caught, naming(Path("/state/file")):
        raise error_of(errno.ENOSPC)
    assert (caught.value.filename, caught.value.filename2) == ("/state/file", None)
    assert "inner" not in str(caught.value)
