"""app.json and app_meta.json: what the reader takes and the schema takes is the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.manifest import parse_manifest
from proxy.core.access.manifest_schema import Kind
from proxy.core.errors import Invalid
from proxy.core.text_files.strict_json import parse_json
from tests.schemas.editor import validator

_DATA = Path(__file__).parents[1] / "data"
_EXAMPLES = sorted(Path(__file__).parents[2].glob("config/**/app.json"))
_NOT_OF_SHAPE = "are one header"
"""What a schema has no words for."""


def _vectors(folder: str) -> list[Any]:
    paths = sorted((_DATA / folder).glob("*.json"))
    return [pytest.param(json.loads(path.read_text("utf-8")), id=path.stem) for path in paths]


def _is_read(kind: Kind, app: str, value: object) -> bool:
    try:
        parse_manifest("f", app, kind, json.dumps(value).encode())
    except Invalid:
        return False
    return True


@pytest.mark.parametrize("vector", _vectors("manifests"))
def test_a_good_file_of_each_version_is_valid(vector: Any) -> None:
    validator(vector["kind"]).validate(vector["file"])


@pytest.mark.parametrize("path", _EXAMPLES, ids=str)
def test_the_examples_are_valid(path: Path) -> None:
    validator("app.json").validate(json.loads(path.read_bytes()))


@pytest.mark.parametrize("vector", _vectors("bad_manifests"))
def test_a_file_of_a_wrong_shape_is_not(vector: Any) -> None:
    try:
        text = vector["text"] if "text" in vector else json.dumps(vector["file"])
        value = parse_json("f", text.encode())
    except Invalid:
        return  # no JSON, or none that can be read in one way: editors say so, or don't
    is_of_shape = all(_NOT_OF_SHAPE in each["what"] for each in vector["expect"])
    assert validator(vector["kind"]).is_valid(value) == is_of_shape


@pytest.mark.parametrize("vector", _vectors("manifests"))
def test_a_file_of_any_version_may_name_its_schema(vector: Any) -> None:
    """And is read as it would be without."""
    file = {"$schema": "./app.schema.json", **vector["file"]}
    validator(vector["kind"]).validate(file)
    one, other = (
        parse_manifest("f", vector["app"], vector["kind"], json.dumps(each).encode())
        for each in (file, vector["file"])
    )
    assert one == other


@pytest.mark.parametrize("version", [None, "0.0", "2.0", "3.1", "3.2", "4.0", "1.3", 3, "5.0"])
@pytest.mark.parametrize("section", ["authentication", "paths", "port", "entrypoints"])
def test_a_section_of_another_version_is_ignored_and_said_to_be(
    version: object, section: str
) -> None:
    file: dict[str, Any] = {
        "paths": {"": {"access": "private"}},
        "port": 80,
        "authentication": {},
        "entrypoints": [],
    }
    if version is not None:
        file["v"] = version
    del file[section]
    assert validator("app.json").is_valid(file) == _is_read("app.json", "a", file)


def test_an_old_form_is_marked_as_one() -> None:
    schema = validator("app.json").schema
    assert schema["$defs"]["authentication"]["deprecated"] is True


_ACCESS = st.sampled_from(["public", "peer", "private", "Public", "", None, 1])
_PREFIXES = st.sampled_from(["", "/", "/a", "/a/", "a", "//", "/a//b", "/./a", "/a/..", "/%61",
                             "/é", "/a..b", "/...", "/a?b", "/~x", "/a b", "/a\n"])  # fmt: skip
_NAMES = st.sampled_from(["X-A", "x_a", "Host", "HOST", "hOst2", "Content-Type", "content_x", "X A",
                          "Signature", "signature_input", "Portal-X", "portalx", "TE", "", "é",
                          "X-" + "a" * 126, "X-" + "a" * 127, "Sec-WebSocket-Key", "Keep.Alive",
                          "http2-settings", "X\n"])  # fmt: skip
_TEXTS = st.lists(
    st.sampled_from(["a", " ", "{", "{{", "}}", "{%", "{#", "{{ auth.client_id }}",
                     "{{client_name}}", "{{ portal.id[:6] }}", "{{ portal.id[ -3 : 12345 ] }}",
                     "{{ portal.id [1:] }}",
                     "{{ portal.id[1] }}", "{{ portal.x }}", "\n", "é", "\x85", "%"]),
    max_size=20,
).map("".join)  # fmt: skip
_HEADERS = st.none() | st.dictionaries(_NAMES, _TEXTS | st.none() | st.integers(), max_size=2)
_RULES = st.fixed_dictionaries({"access": _ACCESS}, optional={"headers": _HEADERS}) | (
    st.dictionaries(st.sampled_from(["access", "acces", "headers"]), _ACCESS, max_size=2)
)
_PORTS = st.sampled_from([0, 1, 65535, 65536, "80", None, True, -1, 80.5])
_POINTS = st.fixed_dictionaries(
    {},
    optional={
        "container_port": _PORTS,
        "entrypoint_port": st.sampled_from(["http", "mqtt", 1, None]),
        "container_name": st.sampled_from(["a", "A_b-c", "", "a.b", "127", "0x7F", "0x7g",
                                           "LOCALHOST", "localhosts", "a" * 63, "a" * 64, None]),
        "more": st.just(1),
    },
)  # fmt: skip
_LISTS = st.none() | st.lists(_PREFIXES | st.integers(), max_size=2)
_FILES = st.fixed_dictionaries(
    {},
    optional={
        "v": st.sampled_from(["0.0", "0.1", "1.0", "1.3", "1.4", "1.04", "3.2", "3.3", "4.0", "4.1",
                              "4.10", "5.0", "4", 4, None, "4.00001", "2.9999", "2.10000"]),
        "paths": st.none() | st.dictionaries(_PREFIXES, _RULES, max_size=2),
        "port": _PORTS,
        "entrypoints": st.none() | st.lists(_POINTS, max_size=2),
        "authentication": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "default_access": _ACCESS,
                "public_paths": _LISTS,
                "peer_paths": _LISTS,
                "privat_paths": st.just([]),
            },
        ),
        "name": st.just(1),
        "more": st.none(),
    },
)  # fmt: skip


@given(kind=st.sampled_from(["app.json", "app_meta.json"]), file=_FILES)
def test_what_is_read_is_what_is_valid(kind: Kind, file: dict[str, Any]) -> None:
    for rule in (file.get("paths") or {}).values():
        headers = (rule or {}).get("headers") if isinstance(rule, dict) else None
        if isinstance(headers, dict) and len({_spelled(name) for name in headers}) < len(headers):
            return  # two names of one header: no schema can say so
    assert validator(kind).is_valid(file) == _is_read(kind, "a", file)


def _spelled(name: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in name.lower())
