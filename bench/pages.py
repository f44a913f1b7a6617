"""Where results go: files beside each other, and with ``--write`` into docs/performance.md as well.

The page has a place for each file: between a line that names it and a line that ends it.
"""

import shutil
from pathlib import Path

from bench.crew import ROOT

PAGE = ROOT / "docs" / "performance.md"
_BEGIN = "<!-- bench/out/{} -->\n"
_END = "<!-- end -->\n"


class NoPlace(Exception):
    """The page has no place of that name."""


def keep(folder: Path, name: str, text: str, *, is_kept: bool, page: Path = PAGE) -> None:
    """Write a text to the file ``name``, and to its place in ``page`` where ``is_kept``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    if is_kept:
        page.write_text(filled(page.read_text("utf-8"), name, text), encoding="utf-8")


def keep_chart(folder: Path, name: str, picture: str, *, is_kept: bool) -> None:
    """Write a picture to the file ``name``, and where ``is_kept`` beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(picture, encoding="utf-8")
    if is_kept:
        shutil.copyfile(folder / name, PAGE.with_name(name))


def filled(page: str, name: str, text: str) -> str:
    """Return ``page`` with ``text`` in the place of that name; raises ``NoPlace``."""
    begin = _BEGIN.format(name)
    before, found, rest = page.partition(begin)
    _, end, after = rest.partition(_END)
    if not (found and end):
        raise NoPlace(f"no line {begin.strip()} with {_END.strip()} after it")
    return f"{before}{begin}{text.strip()}\n{_END}{after}"
