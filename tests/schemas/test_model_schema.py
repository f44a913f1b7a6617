"""portal.yaml and proxy.yaml: what the reader takes and the schema takes is the same.

As far as a schema can say it: it knows nothing of one key beside another, nor of files.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.app_settings import SettingsFile
from proxy.config.portal_yaml import PortalFile
from proxy.core.errors import Invalid
from proxy.core.text_files.schema import Section, validate
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.schemas.files import FileName
from tests.schemas.editor import read_yaml, validator

_ROOT = Path(__file__).parents[2]
_MODELS: dict[FileName, type[Section]] = {"portal.yaml": PortalFile, "proxy.yaml": SettingsFile}
_NEEDED = "name: Ada\ndomain: p.getportal.org\n"
_ID = "8271dd" + "a" * 97

GOOD = {
    "portal.yaml": [
        "name: 123456",
        "name: true",
        'name: "Ada & Bob"',
        "id: new",
        f"id: {_ID}",
        "domain: Portal.Localhost",
        "public_url: http://{short_id}.portal.localhost:9080",
        "public_url: HTTPS://portal.ada.example/",
        "public_url: https://[::1]:443",
        "app_hosts: false",
        'app_hosts: "true"',
        'aliases: [Tunnel.example, "tunnel.example:8443", "[::1]:80"]',
        "aliases: []",
        "accept: [sealed]",
        "accept: [sealed, signed]",
        "sealing_rotation: 90m",
        "sealing_rotation: 3600",
        "sealing_rotation: 1.5h",
        "state: ~/state",
        "identity_key: /run/key",
        "listen: {public: 443.example:80, apps: 'unix:/run/a.sock', apps_mode: 0660}",
        "listen: {owner: '[::1]:0', public: 'unix:x', public_mode: '0666'}",
        "tls: {certificate: a.pem, key: b.pem}",
        "acme: {agree: true}",
        "acme: {agree: 'true', email: ada@ada.example, names: ['a.{short_id}.example']}",
        "acme: {agree: true, directory: 'https://localhost:14000/dir', listen: '[::]:80'}",
        "peer_authorities: ca.pem",
        "timeouts: {head: 1, idle: 1d, client_body: 0.1s, app_connect: 1h}",
        "timeouts: {peer_answer: 7d, peer_connect: 00010.50}",
        "limits: {body: 1024, held_body: 1.5 MiB, websocket_message: 100TiB}",
        "limits: {connections: 1, requests_per_peer: '0009999'}",
        "limits: {rate_per_client: off, rate_per_peer: 20/s, rate_per_app: 600/m burst 1}",
        "grace: 0",
        "trusted_proxies: [10.0.0.0/8, 192.168.1.5, '2001:db8::/32', unix, '::ffff:10.0.0.0/104']",
        "log: text",
    ],
    "proxy.yaml": [
        "upstream: http://127.0.0.1:3000",
        "upstream: unix:app.sock",
        "upstream: HTTPS://App.example/",
        "upstream_ca: ca.pem",
        "token_file: ~/token",
        "app_answer: 10m",
        "host: localhost",
        "host: '[::1]:80'",
        "http: 1.1",
        'http: "1.0"',
        "underscores: pass",
        "drop_fields: [X-Mine, x_tenant]",
        "",
    ],
}
BAD = {
    "portal.yaml": [
        "nam: Ada",
        "name: ''",
        "name: ' Ada'",
        f"name: {'a' * 65}",
        'name: "a\\u202eb"',
        "id: 123456",
        "domain: 10.0.0.1",
        "domain: a..b",
        "public_url: ftp://a",
        "public_url: https://a/b",
        "public_url: https://a:65536",
        "app_hosts: no",
        "aliases: a",
        "aliases: [a/]",
        "accept: []",
        "accept: [both]",
        "sealing_rotation: 600.5s",
        "sealing_rotation: 31d",
        "sealing_rotation: 599",
        "listen: {public: '8080'}",
        "listen: {public: 'a:65536'}",
        "listen: {public: 'unix:'}",
        "listen: {apps_mode: 0640}",
        "listen: {app: 'a:1'}",
        "tls: {certificate: a.pem}",
        "tls: {}",
        "acme: {agree: false}",
        "acme: {agree: true, names: ['*.a.example']}",
        "acme: {agree: true, listen: 'unix:x'}",
        "acme: {agree: true, directory: 'http://a'}",
        "timeouts: {head: 0.5s}",
        "timeouts: {head: 11m}",
        "timeouts: {head: soon}",
        "timeouts: []",
        "limits: {body: 1 MB}",
        "limits: {body: 1.1 KiB}",
        "limits: {connections: 0}",
        "limits: {rate_per_peer: 20}",
        "grace: 2h",
        "trusted_proxies: [all]",
        "trusted_proxies: [10.0.0]",
        "log: colour",
        "v: 1",
    ],
    "proxy.yaml": [
        "upstream: 127.0.0.1:3000",
        "upstream: http://a/b",
        "upstream: ''",
        "upstream: [http://a]",
        "app_answer: 8d",
        "host: a/",
        "http: 2",
        "underscores: keep",
        "drop_fields: X-Mine",
        "drop_fields: ['X Mine']",
        "token-file: a",
        "upstream_ca: ''",
    ],
}


def _cases(found: dict[str, list[str]]) -> pytest.MarkDecorator:
    cases = [(file, text) for file, texts in found.items() for text in texts]
    return pytest.mark.parametrize(("file", "text"), cases)


def _whole(file: FileName, text: str) -> str:
    if file == "proxy.yaml":
        return text
    given = text.partition(":")[0]
    needed = (line for line in _NEEDED.splitlines() if not line.startswith(f"{given}:"))
    return "\n".join([*needed, text, ""])


def _is_read(file: FileName, value: object) -> bool:
    try:
        validate(file, _MODELS[file], value)
    except Invalid:
        return False
    return True


@_cases(GOOD)
def test_what_is_read_is_valid_as_text_and_as_editors_read_it(file: FileName, text: str) -> None:
    whole = _whole(file, text)
    as_text = parse_yaml(file, whole.encode())
    assert _is_read(file, as_text)
    validator(file).validate(as_text)
    validator(file).validate(read_yaml(whole))


@_cases(BAD)
def test_what_is_refused_for_its_shape_is_not_valid(file: FileName, text: str) -> None:
    whole = _whole(file, text)
    as_text = parse_yaml(file, whole.encode())
    assert not _is_read(file, as_text)
    assert not validator(file).is_valid(as_text)
    assert not validator(file).is_valid(read_yaml(whole))


@pytest.mark.parametrize("path", sorted(_ROOT.glob("config/**/p*.yaml")), ids=str)
def test_the_examples_are_valid(path: Path) -> None:
    file: FileName = "proxy.yaml" if path.name == "proxy.yaml" else "portal.yaml"
    validator(file).validate(read_yaml(path.read_text("utf-8")))


def test_a_default_is_one_that_is_read() -> None:
    for file, model in _MODELS.items():
        _read_defaults(file, model, validator(file).schema, [])


def _read_defaults(
    file: FileName, model: type[Section], schema: dict[str, Any], place: list[str]
) -> None:
    for name, each in schema["properties"].items():
        if "properties" in each:
            _read_defaults(file, model, each, [*place, name])
        elif "default" in each:
            value: Any = each["default"]
            text = str(value).lower() if isinstance(value, bool) else str(value)
            nested: Any = {name: text}
            for section in reversed(place):
                more = {"agree": "true"} if section == "acme" else {}
                nested = {section: {**more, **nested}}
            needed = {"name": "Ada", "domain": "a.b"} if file == "portal.yaml" else {}
            assert _is_read(file, {**needed, **nested}), (name, text)


_EXACT: list[tuple[FileName, str, str, list[str]]] = [
    ("portal.yaml", "", "id", ["new", _ID]),
    ("portal.yaml", "", "domain", ["p.getportal.org", "a-b.1c", "x.10"]),
    ("portal.yaml", "", "public_url", ["https://a.b:80/", "http://{short_id}.a", "https://[::1]"]),
    ("portal.yaml", "", "sealing_rotation", ["24h", "0.007d", "600", "30d", "11.05m", "599.999s"]),
    ("portal.yaml", "", "log", ["auto", "json"]),
    ("portal.yaml", "", "app_hosts", ["true", "false"]),
    ("portal.yaml", "listen", "public", ["a:65535", "[::1]:0", "unix:x", "0.0.0.0:08080"]),
    ("portal.yaml", "timeouts", "head", ["15s", "10m", "600.001", "0.001d", "1"]),
    ("portal.yaml", "timeouts", "client_send", ["0.1s", "7d", "604800", "0.0017m"]),
    ("portal.yaml", "limits", "body", ["10 GiB", "1024", "0.001 MiB", "1.125KiB", "100 TiB"]),
    ("portal.yaml", "limits", "connections", ["8192", "0000001", "9999999"]),
    ("portal.yaml", "limits", "rate_per_peer", ["off", "20/s burst 100", "999999/m"]),
    ("proxy.yaml", "", "upstream", ["http://a:1", "https://[::1]:65535/", "unix:a"]),
    ("proxy.yaml", "", "host", ["localhost:80", "a.b", "[::1]"]),
    ("proxy.yaml", "", "app_answer", ["10m", "0.1"]),
    ("proxy.yaml", "", "http", ["1.0", "1.1"]),
]
_ODD = st.sampled_from([*"0159aZx.:/-_ []{}sm\n", "00", "KiB", "unix:", " burst ", "\u0660", "é"])


@st.composite
def _nearly(draw: st.DrawFn, seeds: list[str]) -> str:
    """Return one of the seeds with a few edits."""
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(_ODD | st.just("")) + text[at + draw(st.integers(0, 1)) :]
    return text


@pytest.mark.parametrize(("file", "section", "key", "seeds"), _EXACT)
@given(data=st.data())
def test_what_is_nearly_right_is_valid_where_it_is_read(
    file: FileName, section: str, key: str, seeds: list[str], data: st.DataObject
) -> None:
    value: Any = {key: data.draw(_nearly(seeds))}
    if section:
        value = {section: value}
    if file == "portal.yaml":
        value = {"name": "Ada", "domain": "a.b", **value}
    if file == "proxy.yaml" and str(value.get("upstream", "")).startswith("unix:~"):
        return
    assert validator(file).is_valid(value) == _is_read(file, value), value
