"""YAML without its surprises: lists, mappings and text, nothing else.

Every scalar is text, as it stands: YAML 1.1 reads the ID ``123456`` as a number and ``on`` as true.
Anchors (a few lines of which can stand for gigabytes), tags, merge keys, equal keys and several
documents are problems with their line, and all are reported at once.
"""

import re
from typing import Protocol

import yaml

from proxy.core.errors import Invalid, Problem
from proxy.core.text import MAX_DEPTH, decode_text, shown

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MERGE_KEY = "<<"


class _Mark(Protocol):
    """A place as PyYAML gives it, counted from 0."""

    line: int
    column: int


def parse_yaml(file: str, data: bytes) -> object:
    """Return the one document in ``data`` as dict, list and str; an empty file is ``{}``.

    Raises ``Invalid`` with every problem, up to the first that keeps the rest from being read.
    """
    text = decode_text(file, data)
    composer = _Composer(file, text)
    try:
        value = composer.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        composer.report(mark, f"not YAML: {error.problem or error.context}")
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

    def __init__(self, file: str, text: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._events = iter(yaml.parse(text, Loader=yaml.BaseLoader))

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
