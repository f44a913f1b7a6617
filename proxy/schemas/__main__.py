"""Writes the schemas into this package; for ``make schemas``, in a copy of the repository."""

from pathlib import Path

from proxy.schemas.files import FILES, schema_name
from proxy.schemas.generator import descriptions_of, generated

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parents[1] / "docs"

if __name__ == "__main__":
    for each in FILES:
        path = _HERE / schema_name(each)
        path.write_text(generated(each, descriptions_of(each, _DOCS)), "utf-8")
