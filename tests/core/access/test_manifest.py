"""Every version of an app's file, and every way in which one can be wrong: vectors as data."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.manifest import parse_manifest
from proxy.core.access.policy import Access
from proxy.core.errors import Invalid
from proxy.core.http.origin import parse_origin

_DATA = Path(__file__).parents[2] / "data"


def _vectors(folder: str) -> list[Any]:
    paths = sorted((_DATA / folder).glob("*.json"))
    return [pytest.param(json.loads(path.read_text("utf-8")), id=path.stem) for path in paths]


def _data(vector: Any) -> bytes:
    if "text" in vector:
        return str(vector["text"]).encode("utf-8")
    return json.dumps(vector["file"]).encode("ascii")


@pytest.mark.parametrize("vector", _vectors("manifests"))
def test_a_file_of_each_version_gives_its_rules_and_upstream(vector: Any) -> None:
    expect = vector["expect"]
    manifest = parse_manifest("f", vector["app"], vector["kind"], _data(vector))
    rules = [
        {
            "prefix": rule.prefix.decode("ascii"),
            "access": rule.access.name.lower(),
            "headers": {name: template.text for name, template in rule.headers},
        }
        for rule in manifest.rules.rules
    ]
    assert rules == expect["rules"]
    assert manifest.upstream == (parse_origin(expect["upstream"]) if expect["upstream"] else None)
    assert [notice.place for notice in manifest.notices] == expect["notices"]
    for path, access in expect["decisions"].items():
        assert manifest.rules.decide(path.encode("ascii")).access.name.lower() == access, path


@pytest.mark.parametrize("vector", _vectors("bad_manifests"))
def test_a_wrong_file_is_told_every_place_and_what_is_expected_there(vector: Any) -> None:
    with pytest.raises(Invalid) as caught:
        parse_manifest("apps/x/app.json", vector["app"], vector["kind"], _data(vector))
    problems = caught.value.problems
    assert {problem.file for problem in problems} == {"apps/x/app.json"}
    found = sorted((problem.place, problem.what) for problem in problems)
    expected = sorted((each["place"], each["what"]) for each in vector["expect"])
    assert [place for place, _ in found] == [place for place, _ in expected]
    for (place, what), (_, words) in zip(found, expected, strict=True):
        assert words in what, place
    assert str(caught.value).replace("\n", "").isprintable()


def test_every_version_has_a_vector() -> None:
    vectors = [param.values[0] for param in _vectors("manifests")]
    found = {(vector["kind"], vector["file"].get("v", "")) for vector in vectors}
    apps = {("app.json", v) for v in ("", "0.0", "1.0", "2.0", "3.0", "3.1", "3.2", "4.0")}
    meta = {("app_meta.json", v) for v in ("1.0", "1.1", "1.2", "1.3")}
    newer = {("app.json", v) for v in ("0.1", "3.3", "4.17")} | {("app_meta.json", "1.4")}
    assert found == apps | meta | newer


def test_an_app_whose_name_reads_as_an_address_has_no_upstream_of_its_own() -> None:
    data = b'{"v": "3.1", "port": 8082, "paths": {"": {"access": "public"}}}'
    for app in ("2130706433", "localhost", "0x7f000001"):
        manifest = parse_manifest("f", app, "app.json", data)
        assert manifest.upstream is None
        assert [notice.place for notice in manifest.notices] == ["port"]


def test_several_http_entrypoints_leave_the_choice_to_the_owner() -> None:
    point = {"container_name": "a", "container_port": 80, "entrypoint_port": "http"}
    file = {"v": "1.0", "paths": {"": {"access": "public"}}, "entrypoints": [point, point]}
    manifest = parse_manifest("f", "a", "app_meta.json", json.dumps(file).encode())
    assert manifest.upstream is None
    assert [notice.place for notice in manifest.notices] == ["entrypoints"]


def test_too_many_prefixes_or_headers_are_refused() -> None:
    paths = {f"/{i}": {"access": "public"} for i in range(1001)}
    with pytest.raises(Invalid, match="at most 1000 prefixes"):
        _parse_paths(paths)
    headers = {f"X-{i}": "x" for i in range(33)}
    with pytest.raises(Invalid, match="at most 32 headers"):
        _parse_paths({"": {"access": "public", "headers": headers}})


def test_a_file_with_very_many_problems_reports_the_first_and_how_many_more() -> None:
    with pytest.raises(Invalid) as caught:
        _parse_paths({f"/{i}": {"access": "x"} for i in range(500)})
    assert len(caught.value.problems) == 51
    assert caught.value.problems[-1].what == "and 450 problems more"


@pytest.mark.parametrize(
    ("paths", "noted"),
    [
        ({"": "public", "/a": "private", "/a/": "public"}, ["paths./a"]),
        ({"": "public", "/a": "public", "/a/": "private", "/b": "peer", "/b/": "peer"},
         ["paths./a"]),
        ({"": "private", "/": "public"}, []),
        ({"": "public", "/a/": "private", "/a/b": "public", "/ab/": "private"}, []),
    ],
)  # fmt: skip
def test_rules_that_differ_only_by_a_last_slash_are_noted(
    paths: dict[str, str], noted: list[str]
) -> None:
    rules = {prefix: {"access": access} for prefix, access in paths.items()}
    data = json.dumps({"v": "3.1", "port": 80, "paths": rules}).encode()
    manifest = parse_manifest("f", "a", "app.json", data)
    assert [notice.place for notice in manifest.notices] == noted
    lists = {
        f"{each}_paths": [p for p in paths if p and paths[p] == each] for each in paths.values()
    }
    first = {"authentication": {"default_access": paths[""], **lists}}
    old = parse_manifest("f", "a", "app.json", json.dumps({"port": 80, **first}).encode())
    assert [each.place for each in old.notices] == [
        place.replace("paths", "authentication") for place in noted
    ]


def _parse_paths(paths: dict[str, Any]) -> None:
    file = {"v": "3.1", "port": 80, "paths": paths}
    parse_manifest("f", "a", "app.json", json.dumps(file).encode())


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_KEYS = st.sampled_from(
    [
        "",
        "/",
        "/a",
        "access",
        "headers",
        "public",
        "peer",
        "private",
        "X-A",
        "http",
        "{{ client_id }}",
    ]
)
_JSON = st.recursive(
    _SCALARS | _KEYS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(["app.json", "app_meta.json"]),
    file=st.fixed_dictionaries(
        {},
        optional={
            "v": st.sampled_from(["0.0", "1.0", "1.3", "3.2", "4.0"]) | _SCALARS,
            "port": _SCALARS,
            "authentication": _JSON,
            "paths": _JSON,
            "entrypoints": _JSON,
        },
    ),
)
def test_whatever_the_json_holds_it_is_read_or_refused(kind: Any, file: Any) -> None:
    _read_or_refused(kind, json.dumps(file).encode("utf-8"))


@given(kind=st.sampled_from(["app.json", "app_meta.json"]), data=st.binary())
def test_whatever_the_bytes_are_they_are_read_or_refused(kind: Any, data: bytes) -> None:
    _read_or_refused(kind, data)


def _read_or_refused(kind: Any, data: bytes) -> None:
    with contextlib.suppress(Invalid):
        manifest = parse_manifest("f", "a", kind, data)
        assert isinstance(manifest.rules.decide(b"/a").access, Access)
