"""``check``: every problem of every file at once, warnings apart."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from proxy.state.backup_note import note_backup
from proxy.state.layout import State
from tests.certificates import DAY, authority, write_pair
from tests.cli.test_health import answering, health_of, unix

if TYPE_CHECKING:
    from tests.cli.conftest import Home

ID_A = "8271dd" + "a" * 97


@pytest.fixture
def ada(ada: Home) -> Home:
    """Ada's Portal, once she has made a backup: without one, each ``check`` warns."""
    note_backup(State(ada.state).backup_note, ada.own_id(), now=0)
    return ada


NOTHING_PUBLIC = '{"v": "3.1", "port": 1, "paths": {"": {"access": "private"}}}'


def test_a_portal_without_mistakes_passes(ada_with_apps: Home) -> None:
    ada_with_apps.call("apps", "allow", "guestbook", "all")
    with (ada_with_apps.config / "portal.yaml").open("a") as file:
        file.write("trusted_proxies: [127.0.0.1]\n")
    outcome = ada_with_apps.call("check")
    accepted, apps, none = outcome.stdout.splitlines()
    assert (accepted, none) == ("Accepted: sealed and signed calls.", "No problems found.")
    assert re.fullmatch(r"Apps: files [a-z' ]+, guestbook [a-z' ]+\.", apps)
    assert (outcome.status, outcome.stderr) == (0, "")


def test_whether_apps_are_there_is_told_and_counts_for_nothing(ada: Home) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as there,
        closing(socket.socket()) as bound,
    ):
        bound.bind(("127.0.0.1", 0))
        for name, one in (("there", there), ("gone", bound)):
            ada.add_app(
                name, NOTHING_PUBLIC, f"upstream: http://127.0.0.1:{one.getsockname()[1]}\n"
            )
        text, as_json = ada.call("check"), ada.call("check", "--json")
    assert text.status == as_json.status == 0
    assert "Apps: gone refuses, there answers.\n" in text.stdout
    found = json.loads(as_json.stdout)
    assert found["upstreams"] == {"gone": "refuses", "there": "answers"}
    assert found["ok"]


def test_every_problem_of_every_file_is_shown_at_once(ada: Home) -> None:
    ada.add_app("one", '{"v": "9"}')
    ada.add_app(
        "two", '{"v": "3.1", "port": 1, "paths": {"x": {"access": "pubic"}}}', "upstrem: x\n"
    )
    (ada.state / "identity.key").chmod(0o644)
    (ada.state / "contacts.yaml").write_text("peers: [{id: x, name: y}, {id: z}]\n")
    (ada.state / "replay.sqlite3").chmod(0o644)
    outcome = ada.run("check")
    assert outcome.status == 1
    for expected in (
        "apps/one/app.json: v: ", "apps/two/app.json: paths.", "apps/two/proxy.yaml: upstrem: ",
        "identity.key: ", "contacts.yaml: peers[0].id: ", "contacts.yaml: peers[1].name: ",
        "replay.sqlite3: ",
    ):  # fmt: skip
        assert f"problem: {expected}" in outcome.stdout.replace("config/", "").replace("state/", "")
    problems = outcome.stdout.count("problem: ")
    assert outcome.reason == f"portal-proxy: {problems} problems found"


def test_with_a_broken_portal_yaml_the_apps_are_checked_all_the_same(ada: Home) -> None:
    (ada.config / "portal.yaml").write_text("nmae: Ada\ndomain: a..b\n")
    ada.add_app("one", '{"v": "9"}')
    outcome = ada.run("check")
    assert outcome.status == 1
    for expected in ("nmae", "domain", "one/app.json: v"):
        assert expected in outcome.stdout
    assert "warning: config/portal.yaml: until this can be read" in outcome.stdout
    assert "Accepted" not in outcome.stdout
    assert json.loads(ada.call("check", "--json").stdout)["accept"] is None


def test_a_missing_contact_list_is_a_problem_that_init_mends(ada: Home) -> None:
    (ada.state / "contacts.yaml").unlink()
    outcome = ada.call("check")
    assert outcome.status == 1
    assert "contacts.yaml: is missing" in outcome.stdout
    assert "portal-proxy init" in outcome.stdout
    ada.call("init")
    assert ada.call("check").status == 0


def test_a_missing_replay_store_is_a_warning_since_the_proxy_makes_it(ada: Home) -> None:
    (ada.state / "replay.sqlite3").unlink()
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "replay.sqlite3: is missing; the proxy makes a new one" in outcome.stdout


def test_a_damaged_replay_store_is_a_warning_too(ada: Home) -> None:
    (ada.state / "replay.sqlite3").write_bytes(b"no database at all")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "warning: " in outcome.stdout
    assert "can't be read as a replay store" in outcome.stdout
    assert "the proxy makes a new one" in outcome.stdout


def test_before_init_check_says_what_to_do(home: Home) -> None:
    outcome = home.run("check")
    assert outcome.status == 1
    assert "portal-proxy init" in outcome.stdout


def test_a_key_that_doesnt_say_whose_it_is_gets_a_warning_with_the_line(ada: Home) -> None:
    path = ada.state / "identity.key"
    line, _, pem = path.read_text().partition("\n")
    path.write_text(pem)
    outcome = ada.call("check")
    assert outcome.status == 0
    assert f"put a line before its first one: {line}\n" in outcome.stdout
    path.write_text(f"{line}\n{pem}")
    assert "whose key" not in ada.call("check").stdout


def test_a_damaged_key_is_a_problem_for_check_and_serve(ada: Home) -> None:
    path = ada.state / "identity.key"
    text = path.read_text()
    path.write_text(text[:-40] + ("A" if text[-40] != "A" else "B") + text[-39:])
    for command in ("check", "serve", "id"):
        outcome = ada.call(command)
        assert outcome.status == 1
        assert "Put the file of your backup in its place" in outcome.stdout + outcome.stderr


def test_names_that_are_no_text_are_shown_escaped(ada: Home) -> None:
    (ada.state / "sealing").mkdir(mode=0o700)
    odd = os.fsencode(ada.state / "sealing") + b"/7\xff\x1b.key"
    os.close(os.open(odd, os.O_CREAT | os.O_WRONLY, 0o600))
    (ada.config / "apps" / os.fsdecode(b"app\xfe")).mkdir(parents=True)
    outcome = ada.run("check")
    assert r"sealing/7\xff\x1b.key: isn't the proxy's" in outcome.stdout
    assert r"app\udcfe" in outcome.stdout or r"app\xfe" in outcome.stdout
    assert "Traceback" not in outcome.stderr
    problems = json.loads(ada.run("check", "--json").stdout)["problems"]
    assert r"7\xff\x1b.key" in json.dumps(problems, ensure_ascii=False).encode().decode().replace(
        "\\\\", "\\"
    )


def test_check_changes_nothing(ada: Home) -> None:
    def listing() -> dict[str, tuple[int, int]]:
        return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in ada.state.iterdir()}

    before = listing()
    assert ada.call("check").status == 0
    assert {name: listing()[name] for name in before} == before


def configure(home: Home, *, scheme: str = "https", accept: str = "") -> None:
    path = home.config / "portal.yaml"
    text = path.read_text().replace("public_url: https://", f"public_url: {scheme}://")
    if accept:
        text = text.replace("# accept: [sealed, signed]", f"accept: {accept}")
    path.write_text(text)


def test_signed_calls_over_plain_http_are_a_warning(ada: Home) -> None:
    configure(ada, scheme="http", accept="[sealed, signed]")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "config/portal.yaml: public_url: is plain http" in outcome.stdout
    assert "Accepted: sealed and signed calls." in outcome.stdout


def test_over_plain_http_signed_callers_are_left_out_and_that_is_said(ada: Home) -> None:
    configure(ada, scheme="HTTP")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "warning" not in outcome.stdout
    assert outcome.stdout.splitlines()[0] == (
        "Accepted: sealed calls alone; signed ones are refused, since public_url is plain http and "
        "everybody on the way could read them."
    )
    assert json.loads(ada.call("check", "--json").stdout)["accept"] == ["sealed"]


def test_an_owner_who_takes_sealed_calls_alone_is_told_whom_that_leaves_out(ada: Home) -> None:
    configure(ada, accept="[sealed]")
    ada.call("peers", "add", ID_A, "--name", "Bob", "--mode", "signed")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "Accepted: sealed calls alone; signed ones are refused.\n" in outcome.stdout
    assert f"contacts.yaml: peers.{ID_A}: Bob is called signed" in outcome.stdout


def test_refusing_sealed_calls_is_a_warning(ada: Home) -> None:
    configure(ada, accept="[signed]")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "Accepted: signed calls alone; sealed ones are refused." in outcome.stdout
    assert "config/portal.yaml: accept: sealed calls are refused" in outcome.stdout


def test_a_broken_sealing_key_is_a_problem(ada: Home) -> None:
    sealing = ada.state / "sealing"
    sealing.mkdir(0o700)
    (sealing / "7.key").write_text("half of a key")
    (sealing / "7.key").chmod(0o600)
    (sealing / "copy").write_text("")
    outcome = ada.run("check")
    assert (outcome.status, len(outcome.stderr.splitlines())) == (1, 1)
    assert "state/sealing/7.key: isn't a sealing key" in outcome.stdout
    assert "state/sealing/copy: isn't the proxy's" in outcome.stdout
    assert "half of a key" not in outcome.stdout


def test_a_token_file_that_cant_be_written_is_a_problem(ada_with_apps: Home) -> None:
    settings = ada_with_apps.config / "apps/guestbook/proxy.yaml"
    settings.write_text("token_file: /nonexistent/token\n")
    outcome = ada_with_apps.call("check")
    assert outcome.status == 1
    assert "token_file: /nonexistent isn't a folder" in outcome.stdout


@pytest.mark.parametrize("mode", ["sealed", "signed"])
def test_a_contact_called_signed_over_plain_http_is_a_warning(ada: Home, mode: str) -> None:
    words = ["--name", "Bob", "--address", "http://bob.example", "--mode", mode]
    ada.call("peers", "add", ID_A, *words)
    outcome = ada.call("check")
    assert outcome.status == 0
    is_told = "Bob is called signed, not sealed, over plain http" in outcome.stdout
    assert is_told == (mode == "signed")


def test_an_app_whose_peer_paths_nobody_may_enter_is_a_warning(ada_with_apps: Home) -> None:
    home = ada_with_apps
    command = "portal-proxy apps allow guestbook all"
    assert command in home.call("check").stdout
    home.call("apps", "allow", "guestbook", "none")
    assert command in home.call("check").stdout
    home.call("apps", "allow", "guestbook", "all")
    assert "warning" not in home.call("check").stdout


def test_a_setting_for_an_app_that_does_not_exist_is_a_warning(ada_with_apps: Home) -> None:
    home = ada_with_apps
    home.call("apps", "allow", "files", "all")
    (home.config / "apps" / "files").rename(home.path / "elsewhere")
    outcome = home.call("check")
    assert outcome.status == 0
    assert "contacts.yaml: apps.files: there is no app of this name" in outcome.stdout


def test_a_broken_app_is_not_said_to_be_missing_as_well(ada: Home) -> None:
    ada.add_app("broken", "{")
    ada.call("apps", "allow", "broken", "all")
    assert "there is no app" not in ada.call("check").stdout


def test_ones_own_id_among_the_peers_is_a_warning(ada: Home) -> None:
    own = ada.own_id()
    (ada.state / "contacts.yaml").write_text(f"peers: [{{id: {own}, name: Me}}]\n")
    assert "own ID" in ada.call("check").stdout


def test_json_is_for_scripts(ada_with_apps: Home) -> None:
    home = ada_with_apps
    passed = json.loads(home.call("check", "--json").stdout)
    assert (passed["ok"], passed["problems"]) == (True, [])
    assert passed["accept"] == ["sealed", "signed"]
    assert [warning["place"] for warning in passed["warnings"]] == ["apps.guestbook"]
    home.add_app("broken", '{"v": "9"}')
    outcome = home.call("check", "--json")
    assert outcome.status == 1
    failed = json.loads(outcome.stdout)
    assert failed["ok"] is False
    assert [problem["place"] for problem in failed["problems"]] == ["v"]
    assert failed["problems"][0]["file"].endswith("apps/broken/app.json")


def test_what_a_file_holds_reaches_no_terminal_unescaped(ada: Home) -> None:
    ada.add_app("one", '{"v": "\\u001b[2J\\u202e"}')
    outcome = ada.run("check")
    assert outcome.status == 1
    assert all(line.isprintable() for line in outcome.stdout.splitlines())


def give_certificate(home: Home, *names: str, begins: float = -DAY, ends: float = 90 * DAY) -> None:
    """Let the public listener speak TLS with a certificate for names below the Portal's host."""
    host = home.own_id()[:6] + ".p.getportal.org"
    full = (name.replace("HOST", host) for name in names)
    pair = authority().issue(*full, begins=begins, ends=ends)
    write_pair(home.config / "tls", pair)
    with (home.config / "portal.yaml").open("a") as file:
        file.write("tls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}\n")


def test_a_certificate_without_mistakes_passes(ada_with_apps: Home) -> None:
    ada_with_apps.call("apps", "allow", "guestbook", "all")
    give_certificate(ada_with_apps, "HOST", "*.HOST")
    outcome = ada_with_apps.call("check")
    assert (outcome.status, "warning" in outcome.stdout) == (0, False)


@pytest.mark.parametrize(
    ("names", "problems", "warnings"),
    [
        (["HOST"], [], ["isn't for files.HOST, guestbook.HOST: expected *.HOST among its names"]),
        (["*.HOST"], ["isn't for HOST, the Portal's own host"], []),
        (["HOST", "files.HOST"], [], ["isn't for guestbook.HOST: expected *.HOST among its names"]),
        (["HOST", "files.HOST", "guestbook.HOST"], [], []),
        (["other.example"], ["isn't for HOST,"], ["isn't for files.HOST, guestbook.HOST:"]),
    ],
)
def test_a_certificate_for_another_host_is_a_problem_and_for_other_apps_a_warning(
    ada_with_apps: Home, names: list[str], problems: list[str], warnings: list[str]
) -> None:
    ada_with_apps.call("apps", "allow", "guestbook", "all")
    give_certificate(ada_with_apps, *names)
    outcome = ada_with_apps.call("check")
    assert outcome.status == bool(problems)
    host = ada_with_apps.own_id()[:6] + ".p.getportal.org"
    for kind, told in (("problem", problems), ("warning", warnings)):
        for what in told:
            assert f"{kind}: {ada_with_apps.config}/tls/fullchain.pem: " in outcome.stdout
            assert f"tls/fullchain.pem: {what.replace('HOST', host)}" in outcome.stdout
        assert outcome.stdout.count(f"{kind}: ") == len(told)


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        (-2, 13, "warning: {}: expires on 2"),
        (-2, -1, "problem: {}: has expired, on 2"),
        (1, 90, "problem: {}: isn't valid before 2"),
    ],
)
def test_a_certificates_time_is_told(ada: Home, begins: float, ends: float, said: str) -> None:
    give_certificate(ada, "HOST", "*.HOST", begins=begins * DAY, ends=ends * DAY)
    outcome = ada.call("check")
    assert said.format(ada.config / "tls/fullchain.pem") in outcome.stdout
    assert outcome.status == ("problem" in said)


def test_every_problem_with_the_certificates_files_is_told(ada: Home) -> None:
    give_certificate(ada, "HOST", "*.HOST")
    (ada.config / "tls/fullchain.pem").write_text("nothing")
    (ada.config / "tls/privkey.pem").chmod(0o644)
    outcome = ada.call("check")
    assert outcome.status == 1
    assert "tls/fullchain.pem: holds no certificate" in outcome.stdout
    assert "tls/privkey.pem: others can read" in outcome.stdout
    assert ada.call("serve").status == 1


def test_tls_behind_a_plain_public_url_is_a_warning(ada: Home) -> None:
    give_certificate(ada, "HOST", "*.HOST")
    configure(ada, scheme="http")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "public_url: is plain http, but the public listener speaks TLS" in outcome.stdout


@pytest.mark.parametrize(
    ("host", "does"),
    [
        ("localhost:8080", False), ("192.168.1.5:8080", False), ("[::1]:8080", False),
        ("ada.localhost:8080", True), ("{short_id}.lan", True), ("{short_id}", False),
    ],
)  # fmt: skip
def test_a_host_that_browsers_keep_no_cookie_for_is_a_warning(
    ada: Home, host: str, *, does: bool
) -> None:
    path = ada.config / "portal.yaml"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("public_url:")]
    path.write_text("\n".join([*kept, f'public_url: "http://{host}"', ""]))
    outcome = ada.call("check")
    assert outcome.status == 0
    assert ("browsers keep no cookie" not in outcome.stdout) is does


def test_tls_that_ends_before_us_is_a_notice_while_nobody_there_is_trusted(ada: Home) -> None:
    file = ada.config / "portal.yaml"
    before = file.read_text()
    outcome = ada.call("check")
    assert (outcome.status, "warning" in outcome.stdout) == (0, False)
    assert "config/portal.yaml: public_url: is https, and this" in outcome.stdout
    told = json.loads(ada.call("check", "--json").stdout)
    assert (told["ok"], [notice["place"] for notice in told["notices"]]) == (True, ["public_url"])

    file.write_text(before + "trusted_proxies: [127.0.0.1]\n")
    assert "notice" not in ada.call("check").stdout
    file.write_text(before)
    configure(ada, scheme="http")
    assert "notice" not in ada.call("check").stdout
    file.write_text(before)
    give_certificate(ada, "HOST", "*.HOST")
    assert "notice" not in ada.call("check").stdout


@pytest.mark.parametrize(
    ("proxies", "doubt"),
    [
        ("0.0.0.0/0", "0.0.0.0/0 is everybody"),
        ('"::/0"', "::/0 is everybody"),
        ("unix", "unix is for a unix socket, and listen.public is at 0.0.0.0:8080"),
        ("10.0.0.0/8", ""),
    ],
)
def test_trust_that_nobody_can_mean_is_a_warning(ada: Home, proxies: str, doubt: str) -> None:
    with (ada.config / "portal.yaml").open("a") as file:
        file.write(f"trusted_proxies: [{proxies}]\n")
    outcome = ada.call("check")
    assert outcome.status == 0
    if doubt:
        assert f"config/portal.yaml: trusted_proxies: {doubt}" in outcome.stdout
    else:
        assert "warning" not in outcome.stdout


@pytest.mark.parametrize(
    ("settings", "doubt"),
    [
        ("", "holds for all strangers together"),
        ("trusted_proxies: [10.0.0.1]\n", ""),
        ("trusted_proxies: [10.0.0.1]\nlisten: {public: unix:public.sock}\n", "holds for nobody"),
        ("trusted_proxies: [unix]\nlisten: {public: unix:public.sock}\n", ""),
    ],
)
def test_a_rate_that_can_t_tell_strangers_apart_is_a_warning(
    ada: Home, settings: str, doubt: str
) -> None:
    file = ada.config / "portal.yaml"
    kept = re.sub(r"^listen:\n(?: .*\n)+", "", file.read_text(), flags=re.MULTILINE)
    file.write_text(f"{kept}limits: {{rate_per_client: 20/s}}\n{settings}")
    outcome = ada.call("check")
    assert outcome.status == 0
    if doubt:
        assert f"config/portal.yaml: limits.rate_per_client: {doubt}" in outcome.stdout
    else:
        assert "rate_per_client" not in outcome.stdout


# The state folder, and the proxy that runs


def test_a_state_folder_that_is_read_only_is_a_problem(ada: Home) -> None:
    mounted = ["mount", "--bind", "-o", "ro", str(ada.state), str(ada.state)]
    if os.geteuid() != 0 or subprocess.run(mounted, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        outcome = ada.call("check")
    finally:
        subprocess.run(["umount", str(ada.state)], check=True)
    assert outcome.status == 1
    assert f"problem: {ada.state}: is read-only, so calls of peers are refused" in outcome.stdout


@pytest.mark.parametrize("kind", ["a folder", "no token", "others' too"])
def test_a_token_that_is_none_is_a_problem(ada_with_apps: Home, kind: str) -> None:
    path = ada_with_apps.state / "tokens" / "files"
    path.parent.mkdir(mode=0o700)
    if kind == "a folder":
        path.mkdir()
    else:
        path.write_text("short" if kind == "no token" else "x" * 43)
        path.chmod(0o600 if kind == "no token" else 0o644)
    outcome = ada_with_apps.call("check")
    assert outcome.status == 1
    assert f"problem: {path}: " in outcome.stdout


@pytest.mark.parametrize("whose", ["ours", "another Portal's"])
def test_what_the_running_proxy_says_is_a_problem_too(ada: Home, whose: str) -> None:
    path = ada.path / "owner.sock"
    portal_yaml = ada.config / "portal.yaml"
    text = portal_yaml.read_text()
    portal_yaml.write_text(text.replace("owner: 127.0.0.1:8082", f"owner: 'unix:{path}'"))
    own_id = ada.own_id() if whose == "ours" else "z" * 103
    with answering(unix(path), health_of(ada, id=own_id, problems=["worker 2: stands still"])):
        outcome = ada.call("check")
    told = "problem: the running proxy: worker 2: stands still" in outcome.stdout
    assert told == (whose == "ours")
    assert outcome.status == int(told)


def test_certificates_for_peers_that_cannot_be_read_are_a_problem(ada: Home) -> None:
    portal_yaml = ada.config / "portal.yaml"
    text = portal_yaml.read_text()
    portal_yaml.write_text(f"{text}peer_authorities: mine.pem\n")
    assert "mine.pem: can't be read" in ada.call("check").stdout
    (ada.config / "mine.pem").write_text("none")
    done = ada.call("check")
    assert done.status == 1
    assert "mine.pem: holds no certificates in PEM that can be read" in done.stdout
    (ada.config / "mine.pem").write_bytes(authority().pem)
    assert "mine.pem" not in ada.call("check").stdout
