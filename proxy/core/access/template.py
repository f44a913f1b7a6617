"""Header templates of an app.json: text with variables in it, and not a language.

    template   = *( literal / "{{" name [ slice ] "}}" )
    slice      = "[" [ integer ] ":" [ integer ] "]"

An app's own file writes them, so there is nothing in them to run: no call, no arithmetic, no
attribute but the names below. Whatever the variables hold, the output is a legal field value
(RFC 9110, 5.5): a name with a line break in it can't begin a second field.
"""

import re
from dataclasses import dataclass, field

from proxy.core.display_names import PRINTABLE, encode_name, percent_encoded
from proxy.core.text_files.shape import JsonSchema
from proxy.core.text_files.text import listed, shown

_FIELDS = {
    "auth.client_type": "client_type",
    "auth.client_id": "client_id",
    "auth.client_name": "client_name",
    "client_type": "client_type",  # bare: as version 1.0 wrote them
    "client_id": "client_id",
    "client_name": "client_name",
    "portal.domain": "portal_domain",
    "portal.id": "portal_id",
    "portal.short_id": "portal_short_id",
    "portal.public_key_pem": "portal_public_key_pem",
}
VARIABLE_NAMES = tuple(_FIELDS)
MAX_LENGTH = 2048
MAX_VARIABLES = 16
"""Both bound what a request costs: the longest output is some 16 KB, whatever the file says."""

_VARIABLE = re.compile(
    r"\{\{ *+(?P<name>[a-z_.]++) *+"
    r"(?:\[ *+(?P<start>-?[0-9]{1,4}+)?+ *+:"
    r" *+(?P<stop>-?[0-9]{1,4}+)?+ *+\])?+"
    r" *+\}\}"
)
_OPENING = re.compile(r"\{[{%#]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


_LITERAL = r"(?:(?!\{[{%#])[^\u0000-\u001f\u007f-\u009f])*"
_ANY_VARIABLE = (
    rf"\{{\{{ *(?:{'|'.join(map(re.escape, VARIABLE_NAMES))}) *"
    r"(?:\[ *(?:-?[0-9]{1,4})? *: *(?:-?[0-9]{1,4})? *\])? *\}\}"
)
TEMPLATE_SHAPE: JsonSchema = {
    "type": "string",
    "maxLength": MAX_LENGTH,
    "pattern": rf"^(?:{_LITERAL}{_ANY_VARIABLE}){{0,{MAX_VARIABLES}}}{_LITERAL}$",
    "patternErrorMessage": (
        "expected text with {{ name }} or {{ name[a:b] }} in it, name being "
        f"{listed(list(VARIABLE_NAMES))}"
    ),
}


@dataclass(frozen=True)
class Variables:
    """What a template may show of one request and of this Portal; texts, not yet encoded."""

    client_type: str
    client_id: str
    client_name: str
    portal_domain: str
    portal_id: str
    portal_short_id: str
    portal_public_key_pem: str


@dataclass(frozen=True)
class _Variable:
    field: str
    part: slice


@dataclass(frozen=True)
class Template:
    """A parsed template; ``text`` is what the file says."""

    text: str
    _parts: tuple[bytes | _Variable, ...] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template; raises ``ValueError`` with the position and what is expected there."""
        if len(text) > MAX_LENGTH:
            raise ValueError(f"expected at most {MAX_LENGTH} characters, not {len(text)}")
        control = _CONTROL.search(text)
        if control is not None:
            code = f"U+{ord(control[0]):04X}"
            raise ValueError(f"character {control.start() + 1}: {code} can't stand in a header")
        return cls(text, _parse(text))

    def render(self, variables: Variables) -> bytes:
        """Return the field value: visible ASCII with spaces inside, everything else as %XX."""
        parts = (
            part
            if isinstance(part, bytes)
            else encode_name(getattr(variables, part.field)[part.part])
            for part in self._parts
        )
        return b"".join(parts).strip(b" ")


def _parse(text: str) -> tuple[bytes | _Variable, ...]:
    parts: list[bytes | _Variable] = []
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        parts.append(_literal(text[position : opening.start()]))
        variable = _VARIABLE.match(text, opening.start())
        if variable is None or variable["name"] not in _FIELDS:
            excerpt = text[opening.start() :].partition("}}")
            raise ValueError(
                f"character {opening.start() + 1}: {shown(''.join(excerpt[:2]))} isn't known; "
                f"expected {{{{ name }}}} or {{{{ name[a:b] }}}}, name being "
                f"{listed(list(VARIABLE_NAMES))}"
            )
        parts.append(_Variable(_FIELDS[variable["name"]], _slice(variable)))
        position = variable.end()
    parts.append(_literal(text[position:]))
    if sum(isinstance(part, _Variable) for part in parts) > MAX_VARIABLES:
        raise ValueError(f"expected at most {MAX_VARIABLES} variables")
    return tuple(part for part in parts if part)


def _literal(text: str) -> bytes:
    return percent_encoded(text, PRINTABLE)


def _slice(variable: re.Match[str]) -> slice:
    start, stop = variable["start"], variable["stop"]
    return slice(int(start) if start else None, int(stop) if stop else None)
