"""``apps add``: by options, and by what somebody types at a terminal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from proxy.cli.apps_images import known_image
from proxy.core.access.call_routes import ECOSYSTEM_HOSTS
from proxy.core.text_files.strict_yaml import parse_yaml
from tests.schemas.editor import read_yaml, validator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Home

UPSTREAM = "http://127.0.0.1:3000"


def add(home: Home, *words: str, name: str = "guestbook") -> None:
    outcome = home.call("apps", "add", name, *words)
    assert outcome.status == 0, outcome.stderr


def paths_of(home: Home, name: str = "guestbook") -> dict[str, str]:
    file = json.loads((home.config / "apps" / name / "app.json").read_bytes())
    return {prefix: rule["access"] for prefix, rule in file["paths"].items()}


def settings_of(home: Home, name: str = "guestbook") -> object:
    file = home.config / "apps" / name / "proxy.yaml"
    return parse_yaml("proxy.yaml", file.read_bytes())


def test_where_nobody_is_asked_peers_come_to_their_paths_and_devices_to_the_rest(ada: Home) -> None:
    outcome = ada.call("apps", "add", "guestbook", "--upstream", UPSTREAM)
    assert outcome.status == 0
    assert paths_of(ada) == {"": "private", "/peer/": "peer"}
    assert settings_of(ada) == {"upstream": UPSTREAM}
    assert f"  address  https://guestbook.{ada.own_id()[:6]}.p.getportal.org\n" in outcome.stdout
    assert "portal-proxy apps allow guestbook all" in outcome.stderr.replace(
        f" --config {ada.config}", ""
    )
    assert "portal-proxy apps env guestbook" in outcome.stderr


def test_it_says_what_is_meant_by_an_app_that_isnt_up(ada: Home) -> None:
    told = ada.call("apps", "add", "guestbook", "--upstream", "http://127.0.0.1:1").stdout
    assert "  status   refuses: nothing listens there yet. Start it at any time\n" in told
    told = ada.call("apps", "add", "chat", "--upstream", "unix:/nowhere/chat.sock", "--json").stdout
    assert json.loads(told)["status"] == "can't be found"


def test_what_was_written_passes_check_and_the_schemas_that_it_names(ada: Home) -> None:
    add(ada, "--upstream", UPSTREAM)
    assert ada.call("check").status == 0
    folder = ada.config / "apps" / "guestbook"
    author = json.loads((folder / "app.json").read_bytes())
    settings = (folder / "proxy.yaml").read_text("utf-8")
    assert (folder / author["$schema"]).resolve() == ada.config / "schemas" / "app.schema.json"
    named = settings.splitlines()[0].partition("$schema=")[2]
    assert (folder / named).resolve() == ada.config / "schemas" / "proxy.schema.json"
    assert (folder / named).exists()
    validator("app.json").validate(author)
    validator("proxy.yaml").validate(read_yaml(settings))
    assert (folder / "app.json").stat().st_mode & 0o777 == 0o644
    assert folder.stat().st_mode & 0o777 == 0o755


def test_options_say_who_may_enter_and_the_rest_is_private(ada: Home) -> None:
    add(ada, "--upstream", UPSTREAM, "--public", "/public/", "--public", "/about", "--peer", "/p/")
    assert paths_of(ada) == {"": "private", "/public/": "public", "/about": "public", "/p/": "peer"}


@pytest.mark.parametrize("everything", ["/", ""])
def test_a_slash_is_all_that_no_other_prefix_covers(ada: Home, everything: str) -> None:
    add(ada, "--upstream", UPSTREAM, "--private", "/admin/", "--peer", everything)
    assert paths_of(ada) == {"": "peer", "/admin/": "private"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["a", "--upstream", "127.0.0.1:3000"], "did you mean http://127.0.0.1:3000?"),
        (["a", "--upstream", "http://a/b"], "no path behind a port"),
        (["a", "--upstream", "unix:app.sock"], "a whole path"),
        (["a"], "--upstream is needed"),
        (["My_App", "--upstream", UPSTREAM], "did you mean my-app?"),
        (["..", "--upstream", UPSTREAM], "can't be an app's name"),
        (["a" * 64, "--upstream", UPSTREAM], "at most 63"),
        (["a", "--upstream", UPSTREAM, "--peer", "peer"], "expected a path prefix"),
        (["a", "--upstream", UPSTREAM, "--peer", "/a//"], "/a//: expected a path prefix"),
        (["a", "--upstream", UPSTREAM, "--peer", "/a", "--public", "/a"], "give each prefix once"),
        (["a", "--upstream", UPSTREAM, "--app-json", "x", "--public", "/a"], "goes without"),
        (["a", "--image", "ghcr.io/ada/a:1"], "--port is needed"),
        (["a", "--image", "a: 1\nb", "--port", "80"], "expected an image"),
        (["a", "--image", "a", "--port", "80", "--upstream", "unix:/a"], "not with a socket"),
        (["a", "--image", "a", "--port", "0"], "--port"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_made(
    ada: Home, words: list[str], reason: str
) -> None:
    outcome = ada.call("apps", "add", *words)
    assert outcome.status == 2
    assert reason in outcome.stderr
    assert not (ada.config / "apps").exists()


def test_this_portals_own_listener_is_no_app(ada: Home) -> None:
    outcome = ada.call("apps", "add", "a", "--upstream", "http://127.0.0.1:8082")
    assert outcome.status == 1
    assert "own owner listener" in outcome.reason
    assert not (ada.config / "apps").exists()


def test_nothing_that_is_there_is_overwritten(ada_with_apps: Home) -> None:
    before = (ada_with_apps.config / "apps" / "files" / "app.json").read_bytes()
    outcome = ada_with_apps.call("apps", "add", "files", "--upstream", UPSTREAM)
    assert outcome.status == 1
    assert "is there already, and nothing is overwritten" in outcome.reason
    assert (ada_with_apps.config / "apps" / "files" / "app.json").read_bytes() == before
    assert not (ada_with_apps.config / "apps" / "files" / "proxy.yaml").exists()


def test_an_empty_folder_may_have_been_made_for_it(ada: Home) -> None:
    (ada.config / "apps" / "guestbook").mkdir(parents=True)
    add(ada, "--upstream", UPSTREAM)
    assert ada.call("check").status == 0


def test_a_link_in_its_place_is_not_followed(ada: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (ada.config / "apps").mkdir()
    (ada.config / "apps" / "guestbook").symlink_to(tmp_path / "elsewhere")
    outcome = ada.call("apps", "add", "guestbook", "--upstream", UPSTREAM)
    assert (outcome.status, list((tmp_path / "elsewhere").iterdir())) == (1, [])


def test_the_authors_own_file_is_taken_as_it_is(ada: Home, tmp_path: Path) -> None:
    data = b'{"v": "3.2", "name": "guestbook", "port": 9, "paths": {"": {"access": "public"}}}\n\n'
    (tmp_path / "app.json").write_bytes(data)
    add(ada, "--app-json", str(tmp_path / "app.json"))
    assert (ada.config / "apps" / "guestbook" / "app.json").read_bytes() == data
    assert settings_of(ada) == {}
    assert "http://guestbook:9" in ada.call("apps", "list").stdout


def test_an_authors_file_that_is_wrong_is_told_and_no_app_is_made(
    ada: Home, tmp_path: Path
) -> None:
    (tmp_path / "app.json").write_text('{"v": "3.2", "paths": {"": {"access": "open"}}}')
    outcome = ada.call(
        "apps", "add", "a", "--app-json", str(tmp_path / "app.json"), "--upstream", UPSTREAM
    )
    assert outcome.status == 1
    assert f"{ada.config}/apps/a/app.json: paths.''.access: expected 'public'" in outcome.stderr
    assert not (ada.config / "apps").exists()


def test_an_authors_file_may_not_aim_at_another_app(ada_with_apps: Home, tmp_path: Path) -> None:
    point = {"container_name": "files", "container_port": 80, "entrypoint_port": "http"}
    file = {"v": "1.2", "paths": {"": {"access": "public"}}, "entrypoints": [point]}
    (tmp_path / "app_meta.json").write_text(json.dumps(file))
    outcome = ada_with_apps.call("apps", "add", "a", "--app-json", str(tmp_path / "app_meta.json"))
    assert outcome.status == 1
    assert "which is files's" in outcome.reason
    assert not (ada_with_apps.config / "apps" / "a").exists()


def test_a_dry_run_prints_the_files_and_writes_none(ada: Home) -> None:
    outcome = ada.call("apps", "add", "guestbook", "--upstream", UPSTREAM, "--dry-run")
    assert outcome.status == 0
    assert '"/peer/": {"access": "peer"}' in outcome.stdout
    assert f"upstream: {UPSTREAM}" in outcome.stdout
    assert not (ada.config / "apps").exists()


def test_json_tells_scripts_what_was_made(ada: Home) -> None:
    told = json.loads(ada.call("apps", "add", "guestbook", "--upstream", UPSTREAM, "--json").stdout)
    assert told["paths"] == {"": "private", "/peer/": "peer"}
    assert told["upstream"] == UPSTREAM
    assert told["written"] is True
    assert (
        told["files"]["app.json"].encode()
        == (ada.config / "apps" / "guestbook" / "app.json").read_bytes()
    )


def test_peers_may_know_it_from_the_beginning(ada: Home) -> None:
    ada.call("peers", "add", "8271dd" + "a" * 97, "--name", "Bob")
    outcome = ada.call("apps", "add", "a", "--upstream", UPSTREAM, "--allow", "Bob")
    assert "apps allow" not in outcome.stderr
    assert "knows    Bob (8271dd)" in ada.call("apps", "list").stdout


@pytest.mark.parametrize("who", [["Nobody"], ["all", "none"]])
def test_who_is_nobody_is_told_before_anything_is_made(ada: Home, who: list[str]) -> None:
    words = [word for each in who for word in ("--allow", each)]
    assert ada.call("apps", "add", "a", "--upstream", UPSTREAM, *words).status != 0
    assert not (ada.config / "apps").exists()


def test_an_open_app_on_this_machine_is_warned_of(ada: Home) -> None:
    outcome = ada.call("apps", "add", "a", "--upstream", UPSTREAM, "--public", "/")
    assert outcome.status == 0
    assert "what no rule names is public" in outcome.stderr


def test_an_image_gets_a_service_in_a_network_of_its_own(ada: Home) -> None:
    outcome = ada.call("apps", "add", "notes", "--image", "ghcr.io/ada/notes:1", "--port", "8000")
    assert settings_of(ada, "notes") == {"upstream": "http://notes:8000"}
    compose = read_yaml(outcome.stdout[outcome.stdout.index("services:") :])
    assert compose == {
        "services": {
            "notes": {
                "image": "ghcr.io/ada/notes:1",
                "restart": "unless-stopped",
                "env_file": ["notes.env"],
                "networks": {"notes": {}},
            }
        },
        "networks": {"notes": {}},
    }
    assert "--address portal-proxy:8081 --format env-file > notes.env" in outcome.stderr


def test_one_with_an_entrance_gets_a_network_with_the_proxys_names_and_no_token(ada: Home) -> None:
    outcome = ada.call(
        "apps", "add", "notes", "--image", "ada/notes", "--port", "8000",
        "--entrance", "proxy.notes.internal:9001",
    )  # fmt: skip
    assert outcome.status == 0
    assert settings_of(ada, "notes") == {
        "upstream": "http://notes:8000",
        "entrance": "proxy.notes.internal:9001",
    }
    text = outcome.stdout[outcome.stdout.index("services:") :]
    assert "env_file" not in read_yaml(text)["services"]["notes"]
    (names,) = (line for line in text.splitlines() if line.strip().startswith("#   notes:"))
    (aliases,) = read_yaml(names.replace("#", "", 1)).values()
    assert set(aliases["aliases"]) == {"proxy.notes.internal", *ECOSYSTEM_HOSTS}
    assert re.search(r"entrance +proxy\.notes\.internal:9001\n", outcome.stdout)
    assert "http://portal_core:9001, and no token" in outcome.stderr
    assert "which is right where the proxy isn't run" in outcome.stderr
    assert "apps env" not in outcome.stderr


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("0.0.0.0:9001", "is every network that this machine is on"),
        ("8.8.8.8:9001", "is a public address"),
        ("127.0.0.1:9001", "`entrance_token: required`"),
        ("proxy.notes.internal", "expected host:port or unix:path"),
        ("proxy.notes.internal:0", "expected a port from 1 to 65535"),
        ("unix:portal.sock", "expected a whole path after unix:"),
        ("unix:/none/such/portal.sock", "isn't a folder that can be written to"),
    ],
)
def test_an_entrance_that_others_could_reach_or_that_cant_be_is_told_and_nothing_made(
    ada: Home, typed: str, expected: str
) -> None:
    outcome = ada.call("apps", "add", "a", "--upstream", UPSTREAM, "--entrance", typed)
    assert outcome.status != 0
    assert expected in outcome.stderr
    assert not (ada.config / "apps").exists()


def test_what_a_file_says_beside_is_right_once_it_counts(ada: Home, tmp_path: Path) -> None:
    """Each key that stands there as a comment, and its value, is one of the file's."""
    socket = tmp_path / "a.sock"
    add(ada, "--upstream", UPSTREAM, "--entrance", f"unix:{socket}", "--json")
    text = (ada.config / "apps" / "guestbook" / "proxy.yaml").read_text("utf-8")
    keys = re.findall(r"^(?:# )?([a-z_]+): \S+$", text, re.MULTILINE)
    assert {"upstream", "entrance", "token_file", "device_tokens", "peer_scheme"} <= set(keys)
    whole = re.sub(r"^# ([a-z_]+: \S+)$", r"\1", text, flags=re.MULTILINE)
    validator("proxy.yaml").validate(read_yaml(whole))


def test_for_a_proxy_on_the_machine_itself_the_port_is_at_loopback(ada: Home) -> None:
    told = ada.call(
        "apps", "add", "notes", "--image", "ada/notes", "--port", "8000", "--upstream", UPSTREAM,
        "--json",
    )  # fmt: skip
    service = read_yaml(json.loads(told.stdout)["compose"])["services"]["notes"]
    assert service["ports"] == ["127.0.0.1:3000:8000"]
    assert "networks" not in service


def test_what_a_well_known_app_needs_is_known(ada: Home) -> None:
    outcome = ada.call("apps", "add", "sync", "--image", "docker.io/syncthing/syncthing:1.27")
    assert outcome.status == 0
    assert settings_of(ada, "sync") == {"upstream": "http://sync:8384", "host": "localhost"}
    assert paths_of(ada, "sync") == {"": "private"}
    assert "keep it private" in outcome.stderr


@pytest.mark.parametrize(
    ("image", "port"),
    [
        ("registry:2", 5000),
        ("localhost:5000/registry", 5000),
        ("nodered/node-red@sha256:" + "a" * 64, 1880),
        ("ghcr.io/ada/guestbook:1", None),
        ("syncthing.example/other", None),
    ],
)
def test_an_image_is_known_by_the_last_part_of_its_name(image: str, port: int | None) -> None:
    known = known_image(image)
    assert (known.port if known else None) == port


def test_somebody_at_a_terminal_is_asked(ada: Home) -> None:
    outcome = ada.run_at_terminal(
        "apps", "add", "guestbook", answer=f"localhost:3000\n{UPSTREAM}\n/about /img/\n\n\n"
    )
    assert outcome.status == 0, outcome.stderr
    assert "did you mean http://localhost:3000?" in outcome.stderr
    assert paths_of(ada) == {"": "private", "/about": "public", "/img/": "public", "/peer/": "peer"}
    assert settings_of(ada) == {"upstream": UPSTREAM}


def test_a_wrong_answer_is_asked_for_again(ada: Home) -> None:
    outcome = ada.run_at_terminal(
        "apps", "add", "guestbook", "--upstream", UPSTREAM,
        answer="about\n\n\n/a\n/a\n\n/\nnone\n/admin\n",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert "expected a path prefix" in outcome.stderr
    assert "/a can't be public and peer" in outcome.stderr
    assert paths_of(ada) == {"": "public", "/admin": "private"}


def test_who_leaves_in_the_middle_of_the_questions_has_changed_nothing(ada: Home) -> None:
    outcome = ada.run_at_terminal("apps", "add", "a", "--upstream", UPSTREAM, answer="/a\n\x04")
    assert outcome.status == 1
    assert "nothing was changed" in outcome.stderr
    assert not (ada.config / "apps").exists()


def test_without_a_terminal_nobody_is_waited_for(ada: Home) -> None:
    outcome = ada.run("apps", "add", "a", stdin="")
    assert outcome.status == 2
    assert "--upstream is needed" in outcome.reason
