"""Where an app's own entrance may be, and what is wrong where it may not."""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from proxy.config.app_settings import load_settings
from proxy.config.apps import load_catalogue
from proxy.config.entrance import Entrance, address_problem
from proxy.config.listen import Address
from proxy.core.errors import Invalid

_APP = json.dumps({"v": "3.2", "port": 8000, "paths": {"": {"access": "private"}}})


def _settings(folder: Path, text: str) -> Entrance | None:
    (folder / "proxy.yaml").write_text(text, "utf-8")
    return load_settings(folder).entrance


def _problems(folder: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as invalid:
        _settings(folder, text)
    assert all(each.file == str(folder / "proxy.yaml") for each in invalid.value.problems)
    return [(each.place, each.what) for each in invalid.value.problems]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("proxy.guestbook.internal:9001", Address("proxy.guestbook.internal", 9001)),
        ("Proxy_1:80", Address("proxy_1", 80)),
        ("172.20.0.2:80", Address("172.20.0.2", 80)),
        ("10.1.2.3:65535", Address("10.1.2.3", 65535)),
        ("192.168.7.1:9001", Address("192.168.7.1", 9001)),
        ("100.64.0.1:9001", Address("100.64.0.1", 9001)),
        ("'[fd00::2]:9001'", Address("[fd00::2]", 9001)),
        ("unix:/run/guestbook/portal.sock", Address(unix="/run/guestbook/portal.sock")),
    ],
)
def test_it_is_on_a_network_of_the_apps_own_or_a_file(
    tmp_path: Path, text: str, address: Address
) -> None:
    assert _settings(tmp_path, f"entrance: {text}\n") == Entrance(address)


def test_the_file_of_a_socket_has_a_mode_and_is_taken_from_the_apps_folder(tmp_path: Path) -> None:
    text = "entrance: unix:portal.sock\nentrance_mode: '0660'\n"
    found = _settings(tmp_path, text)
    assert found == Entrance(Address(unix=str(tmp_path / "portal.sock"), mode=0o660))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:9001", "is every network"),
        ("'[::]:9001'", "is every network"),
        ("'*:9001'", "is every network"),
        ("':9001'", "is every network"),
        ("8.8.8.8:9001", "is a public address"),
        ("'[2001:4860:4860::8888]:9001'", "is a public address"),
        ("172.32.0.1:9001", "is a public address"),
        ("192.0.2.1:9001", "is a public address"),
        ("169.254.1.1:9001", "is a link's own address"),
        ("'[fe80::1]:9001'", "is a link's own address"),
        ("224.0.0.1:9001", "is a group's address"),
        ("127.0.0.1:9001", "unix:PATH, or `entrance_token: required`"),
        ("127.9.9.9:9001", "unix:PATH, or `entrance_token: required`"),
        ("'[::1]:9001'", "unix:PATH, or `entrance_token: required`"),
        ("localhost:9001", "unix:PATH, or `entrance_token: required`"),
        ("a.localhost.:9001", "unix:PATH, or `entrance_token: required`"),
        ("'[::ffff:127.0.0.1]:9001'", "is 127.0.0.1, written as an IPv6 address"),
        ("'[::ffff:7f00:1]:9001'", "is 127.0.0.1, written as an IPv6 address"),
        ("'[::ffff:0a00:1]:9001'", "is 10.0.0.1, written as an IPv6 address"),
        ("127.1:9001", "four numbers"),
        ("2130706433:9001", "four numbers"),
        ("0x7f.1:9001", "four numbers"),
        ("'0:9001'", "four numbers"),
        ("10.0.0.1.:9001", "four numbers"),
        ("'[fd00:::2]:9001'", "expected an IPv6 address"),
        ("proxy.guestbook.internal:0", "expected a port"),
        ("proxy.guestbook.internal", "expected host:port or unix:path"),
        ("proxy.guestbook.internal:99999", "expected host:port or unix:path"),
        ("http://proxy.guestbook.internal:9001", "expected host:port or unix:path"),
        ("'unix:'", "expected a path after unix:"),
        ("unix:/" + "x" * 120, "at most 107 bytes"),
        ("[a, b]", "expected host:port or unix:path"),
    ],
)
def test_any_other_place_is_a_mistake_that_is_told(
    tmp_path: Path, text: str, expected: str
) -> None:
    ((place, what),) = _problems(tmp_path, f"entrance: {text}\n")
    assert place == "entrance"
    assert expected in what
    assert "expected" in what or "write" in what


def test_on_loopback_the_token_is_asked_for(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "'[::1]"):
        end = "'" if host.startswith("'") else ""
        text = f"entrance: {host}:9001{end}\nentrance_token: required\n"
        found = _settings(tmp_path, text)
        assert found is not None
        assert found.asks_token
    ((place, what),) = _problems(tmp_path, "entrance: 0.0.0.0:9001\nentrance_token: required\n")
    assert (place, "every network" in what) == ("entrance", True)


def test_keys_that_belong_to_nothing_are_mistakes(tmp_path: Path) -> None:
    assert _problems(tmp_path, "entrance_mode: '0660'\nentrance_token: required\n") == [
        ("entrance_mode", "is for an entrance, and there is none; expected entrance, too"),
        ("entrance_token", "is for an entrance, and there is none; expected entrance, too"),
    ]
    assert _problems(tmp_path, "entrance: 10.0.0.1:9001\nentrance_mode: '0660'\n") == [
        ("entrance_mode", "is for a socket's file, and entrance is at 10.0.0.1:9001")
    ]
    ((place, what),) = _problems(tmp_path, "entrance: unix:/x\nentrance_mode: '0777'\n")
    assert (place, what) == (
        "entrance_mode",
        "expected 0600, 0660 (your group, too) or 0666 (everybody), not '0777'",
    )
    ((place, _),) = _problems(tmp_path, "entrance: unix:/x\nentrance_token: sometimes\n")
    assert place == "entrance_token"


def test_what_a_name_leads_to_is_judged_likewise() -> None:
    assert address_problem(ip_address("10.0.0.1"), asks_token=False) == ""
    assert "public" in address_problem(ip_address("198.51.100.1"), asks_token=True)
    assert address_problem(ip_address("127.0.0.1"), asks_token=True) == ""
    assert "loopback" in address_problem(ip_address("::1"), asks_token=False)


def _write(config: Path, app: str, settings: str) -> None:
    folder = config / "apps" / app
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.json").write_text(_APP, "utf-8")
    (folder / "proxy.yaml").write_text(settings, "utf-8")


def test_no_two_apps_have_the_same_one(tmp_path: Path) -> None:
    for names in (("proxy.internal:9001", "PROXY.internal:9001"), ("unix:/a/../b", "unix:/b")):
        for app, place in zip(("one", "two"), names, strict=True):
            _write(tmp_path, app, f"entrance: {place}\n")
        _write(tmp_path, "three", "entrance: proxy.internal:9002\n")
        catalogue = load_catalogue(tmp_path)
        assert set(catalogue.apps) == {"three"}
        assert catalogue.broken == {"one", "two"}
        told = [(problem.place, problem.what) for problem in catalogue.problems]
        assert [place for place, _ in told] == ["entrance", "entrance"]
        assert "is the entrance of two, too; expected one of its own" in told[0][1]
        # What ran goes on as it was: neither gets the other's.
        _write(tmp_path, "two", "entrance: proxy.internal:9009\n")
        good = load_catalogue(tmp_path)
        assert catalogue.after(good).apps["one"].entrance == good.apps["one"].entrance
        assert catalogue.after(good).apps["two"].entrance == good.apps["two"].entrance


def test_none_is_where_an_app_listens(tmp_path: Path) -> None:
    _write(tmp_path, "one", "entrance: app.internal:8000\n")
    _write(tmp_path, "two", "upstream: http://app.internal:8000\n")
    catalogue = load_catalogue(tmp_path)
    assert set(catalogue.apps) == {"two"}
    (problem,) = catalogue.problems
    assert "is where two listens" in problem.what
