"""YAML without its surprises: lists, mappings and text, nothing else.

Every scalar is text, as it stands: YAML 1.1 reads the ID ``123456`` as a number and ``on`` as true.
Anchors (a few lines of which can stand for gigabytes), tags, merge keys, equal keys and several
documents are problems with their line, and all are reported at once.

PyYAML's parser takes 200 microseconds for a contact, libyaml's a tenth of that. The two differ
about tabs, marks, block scalars, flow style and more, so libyaml's is asked only for text that has
none of these, and believed only where it finds nothing wrong; the other one has the last word.
"""

import re
from contextlib import suppress
from typing import Any, Protocol

import yaml

from proxy.core.errors import Invalid, Problem
from proxy.core.text_files.text import MAX_BYTES, MAX_DEPTH, decode_text, shown

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MERGE_KEY = "<<"
_QUICK: Any = getattr(yaml, "CBaseLoader", None)
"""libyaml's parser, where PyYAML was built with it."""
_EASY = re.compile(
    r"(?:[\n \"#$'()+,./0-9:;<=A-Z^_`a-z~\xa1-\u1fff\u2030-\ud7ff\U00010000-\U0010ffff-]++"
    r"|\[\]|\{\})*+"
)
_MARKS = ("---", "...")
"""Lists and mappings in block style or empty, text plain or quoted without escapes; no marks."""


class _Mark(Protocol):
    """A place as PyYAML gives it, counted from 0."""

    line: int
    column: int


def parse_yaml(file: str, data: bytes, limit: int = MAX_BYTES) -> object:
    """Return the one document in ``data`` as dict, list and str; an empty file is ``{}``.

    ``limit`` is in bytes. Raises ``Invalid`` with every problem, up to the first that keeps the
    rest from being read.
    """
    text = decode_text(file, data, limit)
    is_easy = _EASY.fullmatch(text) and not any(mark in text for mark in _MARKS)
    if _QUICK is not None and is_easy:
        with suppress(yaml.YAMLError, Invalid):
            composer = _Composer(file, text, _QUICK)
            value = composer.document()
            if not composer.problems:
                return value
    return parse_slowly(file, text)


def parse_slowly(file: str, text: str) -> object:
    """Return what ``parse_yaml`` does, by PyYAML's own parser alone; raises ``Invalid``."""
    composer = _Composer(file, text, yaml.BaseLoader)
    try:
        value = composer.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or ""
        if "'\\t'" in what:
            composer.report(mark, "a tab: YAML is indented by blanks alone; replace it by some")
        else:
            composer.report(mark, f"not YAML: {what}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        composer.problems.append(Problem(file, f"line {line}", "a control character"))
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML's own slips: an escape beyond Unicode, a version with 5,000 digits
        composer.report(None, "not YAML: an escape or a directive that can't be read")
    if composer.problems:
        raise Invalid(composer.problems)
    return value


class _Composer:
    """Builds the value from PyYAML's events, which are made one by one and read only so far."""

    def __init__(self, file: str, text: str, loader: Any) -> None:  # noqa: ANN401 - PyYAML's
        self.problems: list[Problem] = []
        self._file = file
        self._events = iter(yaml.parse(text, Loader=loader))

    def report(self, mark: _Mark | None, what: str) -> None:
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        self.problems.append(Problem(self._file, place, what))

    def document(self) -> object:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return {}
        first = next(self._events)
        value = self._node(first, 0)
        next(self._events)  # the document's end
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            self.report(after.start_mark, "a second document; expected one")
        blank = isinstance(first, yaml.ScalarEvent) and first.style is None and not first.value
        return {} if blank else value

    def _node(self, event: yaml.Event, depth: int) -> object:
        if isinstance(event, yaml.AliasEvent):
            self.report(event.start_mark, "an alias; expected the value itself")
            return ""
        if getattr(event, "anchor", None) is not None:
            self.report(event.start_mark, "an anchor (&); expected the value alone")
        if getattr(event, "tag", None) is not None:
            self.report(event.start_mark, "a tag (!); expected the value alone")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if depth == MAX_DEPTH:
            self.report(event.start_mark, f"nested more than {MAX_DEPTH} deep")
            raise Invalid(self.problems)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(depth + 1)
        return self._mapping(depth + 1)

    def _scalar(self, event: yaml.ScalarEvent) -> str:
        text: str = event.value
        if _CONTROL.search(text):
            self.report(event.start_mark, "a control character")
        return text

    def _list(self, depth: int) -> list[object]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, object]:
        members: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth)
            value = self._node(next(self._events), depth)
            if not isinstance(key, str):
                self.report(event.start_mark, "a key that isn't text")
            elif key == _MERGE_KEY:
                self.report(event.start_mark, "a merge key (<<); expected the members themselves")
            elif key in members:
                self.report(event.start_mark, f"{shown(key)} stands here twice; expected once")
            else:
                members[key] = value
        return members
