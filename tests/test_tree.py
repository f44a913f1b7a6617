"""The tree: tests mirror packages, the map names each package, and each says what it is for."""

import ast
import re
from fnmatch import filter as filter_names
from fnmatch import fnmatch
from itertools import accumulate
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROXY, TESTS = ROOT / "proxy", ROOT / "tests"
PACKAGES = sorted(str(file.parent.relative_to(PROXY)) for file in PROXY.rglob("*/__init__.py"))
AT_THE_TOP = {
    "__init__.py", "__main__.py", "portal.py", "portal_paths.py", "admin.py", "logging_setup.py",
    "log_writer.py", "py.typed",
}  # fmt: skip
MAPS = ["README.md", "docs/architecture.md"]

packages = pytest.mark.parametrize("package", PACKAGES)
maps = pytest.mark.parametrize("page", MAPS)


@packages
def test_each_package_has_tests_in_a_folder_of_the_same_path(package: str) -> None:
    assert list((TESTS / package).glob("test_*.py"))


@packages
def test_a_test_file_is_named_for_a_module(package: str) -> None:
    """``test_<module>.py``, or ``test_<module>_<aspect>.py``."""
    modules = {file.stem for file in (PROXY / package).glob("*.py")}
    names = [file.stem.removeprefix("test_") for file in (TESTS / package).glob("test_*.py")]
    strange = [
        name for name in names if modules.isdisjoint(accumulate(name.split("_"), "{}_{}".format))
    ]
    assert not strange


def test_only_a_few_files_belong_to_no_package() -> None:
    assert {path.name for path in PROXY.iterdir() if path.is_file()} == AT_THE_TOP


def test_no_folder_of_modules_is_without_its_package() -> None:
    folders = {str(file.parent.relative_to(PROXY)) for file in PROXY.rglob("*.py")} - {"."}
    assert folders == set(PACKAGES)


@packages
def test_a_package_says_what_it_is_for(package: str) -> None:
    said = ast.get_docstring(ast.parse((PROXY / package / "__init__.py").read_text("utf-8")))
    assert said
    assert "TODO" not in said


@packages
def test_it_names_each_of_its_modules_and_none_that_is_gone(package: str) -> None:
    """As ``module``; ``family_*`` stands for those whose names begin so."""
    folder = PROXY / package
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    named = set(re.findall(r"``([a-z0-9_]+\*?)``", said))
    modules = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    folders = {file.parent.name for file in folder.glob("*/__init__.py")}
    assert [m for m in sorted(modules) if not any(fnmatch(m, name) for name in named)] == []
    assert [name for name in sorted(named) if not filter_names(modules | folders, name)] == []


@maps
def test_the_map_names_every_package(page: str) -> None:
    entries, named = _folders(_tree(page))
    assert [package for package in PACKAGES if package not in entries | named] == []


@maps
def test_the_map_names_no_folder_that_is_gone(page: str) -> None:
    entries, _ = _folders(_tree(page))
    assert [entry for entry in entries if not (PROXY / entry).is_dir()] == []


def test_a_tree_is_read_by_its_indentation() -> None:
    tree = [
        "  core/    all of it: access/ and",
        "           text_files/",
        "    http/  fields",
        "  cli/",
    ]
    entries, named = _folders(tree)
    assert entries == {"core", "core/http", "cli"}
    assert {"core/access", "core/text_files"} <= named
    assert "cli/http" not in entries | named


def _tree(page: str) -> list[str]:
    """Return the lines below ``proxy/`` in the tree of a page."""
    blocks: list[str] = re.findall(
        r"^```\w*\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (tree,) = (block for block in blocks if re.search(r"^proxy/(\s|$)", block, re.MULTILINE))
    lines = iter(tree.splitlines())
    for line in lines:
        if line.startswith("proxy/"):
            break
    below = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        below.append(line)
    return below


def _folders(tree: list[str]) -> tuple[set[str], set[str]]:
    """Return the folders that have a line of their own, and what the text may name beside them.

    A name in the text counts below its entry and below each folder that this one is in.
    """
    entries: set[str] = set()
    named: set[str] = set()
    above: list[tuple[int, str]] = [(0, "")]
    for line in tree:
        indent = len(line) - len(line.lstrip())
        found = re.match(r"\s+([\w/]+)/(\s|$)", line)
        # What is indented as far as a description goes on with it.
        if found and (indent <= above[-1][0] + 4 or above[-1][1] == ""):
            while above[-1][0] >= indent:
                above.pop()
            path = above[-1][1] + found[1]
            entries.add(path)
            above.append((indent, f"{path}/"))
        for word in re.findall(r"[\w/]+(?=/)", line):
            named |= {folder + word for _, folder in above}
    return entries, named
