"""docs/glossary.md names what the code has, each word once; the words it replaced are gone."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_GLOSSARY = ROOT / "docs" / "glossary.md"
_ENTRY = re.compile(r"\*\*([^*]+)\*\*(?:\s+\(((?:`[^`]+`(?:,\s+)?)+)\))?")
"""A head word, and behind it in brackets what the code calls it."""

_REPLACED = {
    "room": "logger, or module",
    "corridor": "order of checks",
    "courier": "transport",
    "mover": "override field",
    "crowd": "connection limiter",
    "occupancy": "concurrency limiter",
    "bounds": "limits",
    "judge": "rule matcher",
    "readings": "interpretations",
    "site": "access context",
    "ground": "subject",
    "standing": "revocation",
    "trail": "forwarded chain",
    "neighbour": "remote peer",
    "neighbourhood": "client network",
    "delivery": "forwarder",
    "remembered": "replayable",
    "gathered": "coalesced",
    "passage": "frame filter",
    "turns": "connection requests",
    "inlet": "read side",
    "outlet": "write side",
    "portion": "read buffer",
    "endure": "disable timeouts",
    "door": "listening socket",
    "lent": "inherited",
    "patient": "with timeouts",
    "spoken": "response stream",
    "intake": "request body",
    "presence": "disconnect watcher",
    "surroundings": "server scope",
    "reply": "response",
    "answer": "response",
    "landing": "return address",
    "recognised": "touch session",
    "keyring": "identity key",
}
"""A word that no name may have as a part, and the one that stands for it now."""

_IN_PROSE = ("corridor", "courier", "occupancy", "neighbourhood", "inlet", "outlet")
"""Of those, the ones that mean nothing else here, so that no sentence needs them either."""

_KEPT = {
    # Settings and a public code: owners and apps depend on them.
    "answer_timeout",
    "answer_too_large",
    "ANSWER_TOO_LARGE",
    "app_answer",
    "peer_answer",
    # What a page is to a browser (Fetch Metadata).
    "sites",
    # Free space in a buffer.
    "room",
    "_room",
    # One address family after the other (RFC 8305).
    "_by_turns",
}


@cache
def _entries() -> list[tuple[str, list[str]]]:
    """Return each head word with the names behind it."""
    text = _GLOSSARY.read_text("utf-8")
    return [
        (" ".join(word.rstrip(".:").split()), re.findall(r"`([^`]+)`", names))
        for word, names in _ENTRY.findall(text)
    ]


@cache
def _modules() -> dict[Path, ast.Module]:
    return {
        file: ast.parse(file.read_text("utf-8")) for file in sorted((ROOT / "proxy").rglob("*.py"))
    }


@cache
def _public_names() -> frozenset[str]:
    """Return every class, function, method and constant of ``proxy`` without an underscore."""
    names = set()
    for tree in _modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return frozenset(name for name in names if not name.startswith("_"))


def test_each_word_stands_once() -> None:
    words = [word.lower() for word, _ in _entries()]
    assert [word for word in words if words.count(word) > 1] == []


def test_each_name_of_the_code_stands_behind_one_word() -> None:
    names = [name for _, names in _entries() for name in names]
    assert [name for name in names if names.count(name) > 1] == []


@pytest.mark.parametrize(
    "name", [name for _, names in _entries() for name in names if name.startswith("proxy/")]
)
def test_a_module_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize(
    "name", [name for _, names in _entries() for name in names if not name.startswith("proxy/")]
)
def test_a_name_of_the_code_exists(name: str) -> None:
    assert name in _public_names()


def test_so_does_each_class_that_an_entry_mentions() -> None:
    text = _ENTRY.sub("", _GLOSSARY.read_text("utf-8"))
    named = set(re.findall(r"`((?:[A-Z][a-z0-9]+){2,})`", text))
    assert named - _public_names() == set()


def test_each_word_is_used_elsewhere_too() -> None:
    pages = [page for page in (ROOT / "docs").rglob("*.md") if page != _GLOSSARY]
    files = [ROOT / "README.md", *pages, *_modules()]
    text = " ".join(" ".join(file.read_text("utf-8") for file in files).lower().split())
    said = re.sub(r"[_-]", " ", text)
    named = {name.lower() for name in _public_names()}
    unused = [
        word
        for word, _ in _entries()
        if word.lower() not in said and word.lower().replace(" ", "") not in named
    ]
    assert unused == []


def _parts(name: str) -> set[str]:
    """Return the words of a name, in lower case and without a plural's s."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {form for word in words for form in (word.lower(), word.lower().removesuffix("s"))}


def _names(tree: ast.Module) -> set[str]:
    """Return every identifier that a module defines or binds; of functions not the verb."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.arg(arg=name) | ast.ClassDef(name=name) | ast.alias(asname=str() as name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                # To answer is a verb: a function may.
                names.add(re.sub(r"^_?answer(?![a-z])", "", name))
    return names


def test_a_name_is_split_into_its_words() -> None:
    assert _parts("_HTTPServerRooms") >= {"http", "server", "rooms", "room"}
    assert _parts("is_lent_2") == {"is", "lent", "i"}


@pytest.mark.parametrize("word", _REPLACED)
def test_a_word_that_was_replaced_is_in_no_name(word: str) -> None:
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file, tree in _modules().items()
        for name in _names(tree)
        if word in _parts(name) and name not in _KEPT
    }
    found |= {str(file.relative_to(ROOT)) for file in _modules() if word in _parts(file.stem)}
    assert sorted(found) == []


@pytest.mark.parametrize("word", _IN_PROSE)
def test_a_private_word_is_in_no_sentence_either(word: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *_modules()]
    said = re.compile(rf"\b{word}s?\b", re.IGNORECASE)
    found = [page for page in pages if said.search(page.read_text("utf-8"))]
    assert [str(page.relative_to(ROOT)) for page in found] == []
