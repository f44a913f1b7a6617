"""docs/architecture.md is a map of the code as it is: its layers, files and classes are there."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")
_PROSE = re.sub(r"^```.*?^```$", "", _MAP, flags=re.DOTALL | re.MULTILINE)
_PROXY = sorted((ROOT / "proxy").rglob("*.py"))


def _block(name: str) -> list[str]:
    """Return the lines of the block that follows ``<!-- name -->``."""
    found = re.search(rf"<!-- {name} -->\n```text\n(.*?)\n```", _MAP, re.DOTALL)
    assert found, f"the map has no block named {name!r}"
    return found[1].split("\n")


@pytest.mark.parametrize(
    ("block", "contract"), [("layers", "layers"), ("core layers", "core-layers")]
)
def test_the_map_shows_the_layers_that_the_linter_holds(block: str, contract: str) -> None:
    linted = configparser.ConfigParser()
    linted.read(ROOT / ".importlinter", "utf-8")
    layers = linted[f"importlinter:contract:{contract}"]["layers"]
    assert _block(block) == layers.strip().split("\n")


def test_each_file_of_the_map_is_there() -> None:
    """A name may stand for the end of a path: ``server/listener.py``, or ``listener.py``."""
    named = set(re.findall(r"`(?!tests/)([\w/]+\.py)`", _PROSE))
    there = [f"/{file.relative_to(ROOT).as_posix()}" for file in _PROXY]
    assert {name for name in named if not any(path.endswith(f"/{name}") for path in there)} == set()


def test_each_module_that_is_drawn_is_there() -> None:
    """In a drawing modules stand by their path without the suffix: ``inbound/app``."""
    drawn = [name for line in _MAP.splitlines() if "▶" in line or "◀" in line
             for name in re.findall(r"\b[a-z_]+(?:/[a-z_]+)+\b", line)]  # fmt: skip
    proxy = ROOT / "proxy"
    gone = {n for n in drawn if not ((proxy / n).is_dir() or (proxy / f"{n}.py").is_file())}
    assert gone == set()


def test_each_class_of_the_map_is_there() -> None:
    text = "\n".join(file.read_text("utf-8") for file in _PROXY)
    classes = set(re.findall(r"^class (\w+)", text, re.MULTILINE))
    functions = set(re.findall(r"^ *(?:async )?def (\w+)", text, re.MULTILINE))
    named = re.findall(r"`((?:[A-Z][a-z0-9]+){2,})(?:\.(\w+))?`", _PROSE)
    assert {name for name, _ in named} - classes == set()
    assert {method for _, method in named if method} - functions == set()
