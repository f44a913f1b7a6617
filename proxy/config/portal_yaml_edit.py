"""The line of portal.yaml that says who the Portal is, put there by ``init``.

All else in the file is its owner's and stays as it is, byte for byte.
"""

import re

from proxy.config.own_identity import id_line
from proxy.core.errors import Invalid
from proxy.core.text_files.strict_yaml import parse_yaml

COMMENT = "# Which Portal this is. Nothing is served with another key than this one's."

_ID = re.compile(rb"^id[ \t]*:[ \t]*[^\s#]*", re.MULTILINE)


def with_id(data: bytes, portal_id: str) -> bytes | None:
    """Return portal.yaml with this ``id``, in the place of the one that it has or at its end.

    None where the file is written in such a way that nobody but its owner should change it, as on
    one line. Raises ``Invalid`` where it isn't YAML.
    """
    before = _read(data)
    line = id_line(portal_id).encode("ascii")
    if "id" in before:
        new = _ID.sub(line, data, count=1)
    else:
        gap = b"" if data.endswith(b"\n") or not data else b"\n"
        new = b"%b%b\n%b\n%b\n" % (data, gap, COMMENT.encode("ascii"), line)
    # Whatever its form was: it must say what it said, and the ID, or it is left alone.
    try:
        after = _read(new)
    except Invalid:
        return None
    return new if after == {**before, "id": portal_id} else None


def _read(data: bytes) -> dict[str, object]:
    found = parse_yaml("portal.yaml", data)
    return found if isinstance(found, dict) else {}
