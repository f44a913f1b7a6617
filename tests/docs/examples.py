"""docs/middleware.md as the tests run it: its files, and the commands that serve them."""

import re
import shlex
from functools import cache
from pathlib import Path

PORT = "8000"
"""The port that the page's commands name."""
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "middleware.md"


@cache
def files() -> dict[str, str]:
    """Return the text of each block that says which file it is."""
    pattern = r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$"
    return dict(re.findall(pattern, _page(), re.DOTALL | re.MULTILINE))


@cache
def commands() -> dict[str, list[str]]:
    """Return the words of the command that serves each file."""
    pattern = r"<!-- run: (\S+) -->\n```sh\n(.*?)\n```$"
    found = re.findall(pattern, _page(), re.DOTALL | re.MULTILINE)
    return {file: shlex.split(text) for file, text in found}


def _page() -> str:
    return _PAGE.read_text("utf-8")
