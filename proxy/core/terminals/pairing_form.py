"""What the pairing page's form sends, and the name that is proposed for a device."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from proxy.core.errors import Code, Refusal

FORM_LIMIT = 4096
"""Bytes of a form; a code, a name and an address fit in that."""
FORM_TYPE = b"application/x-www-form-urlencoded"
_MOST_INPUTS = 10

_BROWSERS = (("Firefox", "Firefox|FxiOS"), ("Edge", "Edg"), ("Opera", "OPR"),
             ("Chrome", "Chrome|CriOS"), ("Safari", "Safari"))  # fmt: skip
_SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
            ("Mac", "Macintosh"), ("ChromeOS", "CrOS"), ("Linux", "Linux"))  # fmt: skip


@dataclass(frozen=True)
class Form:
    """The form's inputs as they were typed; a name less the space around it."""

    code: str
    name: str
    to: str


def read_form(body: bytes) -> Form:
    """Read a form (URL Standard, section 5.1); raises ``Refusal`` where it isn't this page's."""
    try:
        inputs = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=_MOST_INPUTS)
    except ValueError:
        raise Refusal(Code.BAD_REQUEST, "not a form, or not this one") from None
    if any(len(values) > 1 for values in inputs.values()):
        raise Refusal(Code.BAD_REQUEST, "an input of the form stands there twice")
    code, name, to = (inputs.get(key, [""])[0] for key in ("code", "name", "to"))
    return Form(code, name.strip(), to)


def likely_name(user_agent: bytes) -> str:
    """Return what to call a device that says this about itself; "" where it says nothing known."""
    text = user_agent.decode("latin-1")
    browser, system = (
        next((name for name, mark in known if re.search(mark, text)), "")
        for known in (_BROWSERS, _SYSTEMS)
    )
    return " on ".join(part for part in (browser, system) if part)
