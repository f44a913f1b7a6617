"""Pairing a browser with a real Portal, and what others make of a form, a code and a link."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.terminals import (
    FORM,
    HTML,
    NAME,
    PAIR,
    ask_page,
    from_the_page,
    new_code,
    new_codes,
    pair,
    send,
    send_form,
    terminals,
    token_of,
)

NOTES = """{"v": "3.2", "port": 80, "paths": {
  "": {"access": "private", "headers": {
    "X-Who": "{{ auth.client_type }} {{ auth.client_id }} {{ auth.client_name }}"}},
  "/public": {"access": "public"}, "/peer": {"access": "peer"}}}"""
WRONG = "ZZZZ-ZZZZ"


@pytest.fixture(scope="module")
def app() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


def _portal(folder: Path, app: Recorder) -> Portal:
    portal = Portal(folder, "Ada <Größe>")
    portal.add_app("notes", NOTES, app.port)
    return portal


@pytest.fixture(scope="module")
def ada_(app: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    portal = _portal(tmp_path_factory.mktemp("pairing") / "ada", app)
    yield portal.start()
    portal.release()
    assert portal.MISTAKE not in portal.log, portal.log


@pytest.fixture
def ada(ada_: Portal, app: Recorder) -> Portal:
    """A Portal that remembers no wrong tries."""
    (ada_.state / "pairing.yaml").unlink(missing_ok=True)
    app.clear()
    return ada_


def _open(portal: Portal, target: str, *fields: tuple[str, str]) -> Raw:
    return exchange(
        portal.public, request("GET", target, ("Host", portal.app_host("notes")), *fields)
    )


def _is_in(portal: Portal, token: str) -> bool:
    return _open(portal, "/", ("Cookie", f"{NAME}={token}")).status == 200


def test_a_browser_pairs_and_lands_where_it_wanted_to_go(ada: Portal, app: Recorder) -> None:
    wanted = f"http://{ada.app_host('notes')}/a%2Fb?c=d&e"
    sent = _open(ada, "/a%2Fb?c=d&e", HTML)
    assert sent.status == 303
    assert sent.one("cache-control") == b"no-store"
    page = urlsplit(sent.one("location").decode())
    assert (page.netloc, page.path) == (ada.host, PAIR)
    assert app.connections == 0

    shown = ask_page(ada, f"?{page.query}", HTML)
    assert shown.status == 200
    assert not shown.all("set-cookie")
    assert b"Ada &lt;Gr\xc3\xb6\xc3\x9fe&gt;" in shown.body
    assert quote("c=d&amp;e", safe="=&;").encode() in shown.body

    to = parse_qs(page.query)["to"][0]
    paired = send_form(ada, new_code(ada).lower(), from_the_page(ada), HTML, name="Böb", to=to)
    assert (paired.status, paired.one("location").decode()) == (303, wanted)
    assert paired.one("cache-control") == b"no-store"

    got = _open(ada, "/a%2Fb?c=d&e", HTML, ("Cookie", f"{NAME}={token_of(paired)}"))
    assert got.status == 200
    terminal = terminals(ada)[-1]
    assert app.request.target == b"/a%2Fb?c=d&e"
    assert app.request.one("x-ptl-client-type") == b"terminal"
    assert app.request.one("x-ptl-client-id") == terminal.id.encode()
    assert app.request.one("x-ptl-client-name") == b"B%C3%B6b"
    assert app.request.one("x-who") == f"terminal {terminal.id} B%C3%B6b".encode()


def test_the_cookie_is_for_this_portal_and_closed_to_scripts(ada: Portal) -> None:
    paired = send_form(ada, new_code(ada), from_the_page(ada), HTML)
    host = ada.host.partition(":")[0]
    _, *attributes = paired.one("set-cookie").decode().split("; ")
    assert {f"Domain={host}", "Path=/", "HttpOnly", "SameSite=Lax"} < set(attributes)
    state = "".join(path.read_text("latin-1") for path in ada.state.glob("*.yaml"))
    assert token_of(paired) not in state + ada.log


def test_a_machine_gets_a_problem_and_no_page(ada: Portal) -> None:
    for fields in ((), (("Accept", "application/json"),), (("Accept", "*/*"),)):
        got = _open(ada, "/", *fields)
        assert (got.status, got.code) == (401, "proof_required")
    for more in (("Sec-Fetch-Dest", "iframe"), ("Sec-Fetch-Mode", "cors")):
        assert _open(ada, "/", HTML, more).status == 401
    refused = _open(ada, "/peer/x", HTML)
    assert (refused.status, refused.all("location")) == (401, [])


def test_the_pairing_page_is_on_the_portals_own_host_alone(ada: Portal, app: Recorder) -> None:
    body = b"code=x"
    host = ("Host", ada.app_host("notes"))
    assert exchange(ada.public, request("POST", PAIR, host, FORM, body=body)).status == 401
    assert _open(ada, PAIR).status == 401
    assert app.connections == 0


def test_the_page_can_be_framed_and_stored_by_nobody(ada: Portal) -> None:
    for query in ("", "?to=x", f"?to={quote('https://evil.example/')}"):
        got = ask_page(ada, query)
        assert got.one("cache-control") == b"no-store"
        assert got.one("referrer-policy") == b"same-origin"
        assert got.one("x-content-type-options") == b"nosniff"
        policy = got.one("content-security-policy")
        assert policy.startswith(b"default-src 'none'; ")
        assert b"frame-ancestors 'none'" in policy
        assert b"evil.example" not in got.body


@pytest.mark.parametrize(
    "to", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\evil", "/x", ""]
)
def test_a_paired_browser_lands_on_no_other_host(ada: Portal, to: str) -> None:
    paired = send_form(ada, new_code(ada), from_the_page(ada), to=to)
    assert paired.one("location").decode() == f"http://{ada.host}{PAIR}"


def test_a_link_leads_back_to_the_portal_it_is_for(ada: Portal) -> None:
    to = f"http://{ada.app_host('notes')}/x"
    paired = send_form(ada, new_code(ada), from_the_page(ada), to=to)
    assert paired.one("location").decode() == to


_FOREIGN = [
    (("Origin", "https://evil.example"),),
    (("Origin", "null"),),
    (("Origin", "{app}"),),
    (("Origin", "{sibling}"), ("Sec-Fetch-Site", "same-site")),
    (("Origin", "{own}"), ("Origin", "https://evil.example")),
    (("Sec-Fetch-Site", "cross-site"),),
    (
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ),
    (("Referer", "https://evil.example/"),),
    (("Referer", "{sibling}/core/public/pair"),),
]


@pytest.mark.parametrize("fields", _FOREIGN)
def test_no_other_page_logs_a_browser_in(ada: Portal, fields: tuple[tuple[str, str], ...]) -> None:
    """Login CSRF: a browser that is paired by somebody else's form is that somebody's to use."""
    names = {
        "own": f"http://{ada.host}",
        "app": f"http://{ada.app_host('notes')}",
        "sibling": f"http://8271dd.portal.localhost:{ada.public}",
    }
    code, before = new_code(ada), [terminal.id for terminal in terminals(ada)]
    told = tuple((name, value.format_map(names)) for name, value in fields)

    refused = send_form(ada, code, *told)

    assert (refused.status, refused.code) == (403, "foreign_page")
    assert not refused.all("set-cookie")
    assert [terminal.id for terminal in terminals(ada)] == before
    assert send_form(ada, code, from_the_page(ada)).status == 303


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (("Sec-Fetch-Site", "same-origin"),),
        (("Origin", "{own}"), ("Sec-Fetch-Site", "same-origin")),
        (("Referer", "{own}/core/public/pair"),),
    ],
)
def test_the_pages_own_form_does(ada: Portal, fields: tuple[tuple[str, str], ...]) -> None:
    told = tuple((name, value.format(own=f"http://{ada.host}")) for name, value in fields)
    assert send_form(ada, new_code(ada), *told).status == 303


def test_a_session_that_somebody_fixed_is_never_taken_over(ada: Portal) -> None:
    mine = "A" * 43
    fixed = ("Cookie", f"{NAME}={mine}")
    paired = send_form(ada, new_code(ada), from_the_page(ada), fixed)
    assert paired.status == 303
    assert token_of(paired) != mine
    assert not _is_in(ada, mine)
    assert _is_in(ada, token_of(paired))


def test_pairing_again_gives_another_token(ada: Portal) -> None:
    first = pair(ada)
    again = send_form(ada, new_code(ada), from_the_page(ada), first.cookie)
    assert token_of(again) != first.token
    assert b"paired already, as <bdi>Phone</bdi>" in ask_page(ada, "", first.cookie).body
    assert b"paired already" not in ask_page(ada).body


def test_a_stolen_link_that_is_used_second_opens_nothing(ada: Portal) -> None:
    code = new_code(ada)
    assert send_form(ada, code, from_the_page(ada)).status == 303
    before = terminals(ada)

    stolen = send_form(ada, code, from_the_page(ada))
    wrong = send_form(ada, WRONG, from_the_page(ada))

    assert (stolen.status, stolen.code) == (403, "pairing_refused")
    assert stolen.comparable == wrong.comparable
    assert not stolen.all("set-cookie")
    assert terminals(ada) == before
    assert send_form(ada, new_code(ada), from_the_page(ada)).status == 303


def test_of_two_browsers_with_one_code_one_is_paired(ada: Portal) -> None:
    code, before = new_code(ada), len(terminals(ada))
    start = threading.Barrier(2)
    got: list[Raw] = []

    def race(address: str) -> None:
        start.wait()
        got.append(send_form(ada, code, from_the_page(ada), came_from=address))

    racers = [threading.Thread(target=race, args=(f"127.0.0.{n}",)) for n in (21, 22)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(response.status for response in got) == [303, 403]
    assert len(terminals(ada)) == before + 1
    codes = [new_code(ada), new_code(ada)]
    assert [send_form(ada, each, from_the_page(ada)).status for each in codes] == [303, 303]


def test_several_workers_share_codes_wrong_tries_and_devices(app: Recorder, tmp_path: Path) -> None:
    portal = Portal(tmp_path / "ada", "Ada", workers=4)
    portal.add_app("notes", NOTES, app.port)
    try:
        portal.start()
        for _ in range(5):
            token = pair(portal).token
            assert all(_is_in(portal, token) for _ in range(8))
        code, before = new_code(portal), len(terminals(portal))
        got = [send_form(portal, code, from_the_page(portal)).status for _ in range(8)]
        assert got == [303] + [403] * 5 + [429] * 2
        assert len(terminals(portal)) == before + 1
    finally:
        portal.release()


@pytest.mark.more
def test_a_thousand_wrong_codes_open_nothing_and_use_nothing_up(
    app: Recorder, tmp_path: Path
) -> None:
    portal = _portal(tmp_path / "ada", app)
    try:
        portal.start()
        code = new_code(portal)
        start = time.monotonic()
        got = [
            send_form(portal, f"{n:08}", from_the_page(portal), came_from=f"127.0.1.{n % 250 + 1}")
            for n in range(1000)
        ]
        looked_at = [response for response in got if response.status != 429]
        assert {response.code for response in looked_at} == {"pairing_refused"}
        # Sixty in any minute.
        assert 60 <= len(looked_at) <= 60 * (1 + (time.monotonic() - start) / 60)
        last = send_form(portal, code, from_the_page(portal))
        if last.status == 429:
            assert last.code == "too_many_attempts"
            assert 1 <= int(last.one("retry-after")) <= 60
            (portal.state / "pairing.yaml").unlink()
            again = new_code(portal)
            assert send_form(portal, again, from_the_page(portal)).status == 303
        assert len(terminals(portal)) == 1
        portal.settled_log()
        assert len(portal.lines(code="too_many_attempts")) >= len(got) - len(looked_at)
    finally:
        portal.release()


def test_the_right_code_of_somebody_who_guesses_is_not_looked_at(ada: Portal) -> None:
    code = new_code(ada)
    wrong = [send_form(ada, WRONG, from_the_page(ada), came_from="127.0.0.31") for _ in range(6)]
    assert [response.status for response in wrong] == [403] * 5 + [429]
    guessed = send_form(ada, code, from_the_page(ada), came_from="127.0.0.31")
    assert (guessed.status, guessed.code) == (429, "too_many_attempts")
    other = send_form(ada, code, from_the_page(ada), came_from="127.0.0.32")
    assert other.status == 303


def test_who_guesses_keeps_the_owner_with_the_link_out_no_more(ada: Portal) -> None:
    code, others = new_codes(ada), 61
    got = [
        send_form(ada, f"{n:08}", from_the_page(ada), came_from=f"127.0.2.{n % 30 + 1}")
        for n in range(others)
    ]
    assert got[-1].code == "too_many_attempts"
    assert send_form(ada, code.typed, from_the_page(ada)).code == "too_many_attempts"

    wrong = [send_form(ada, f"{n:026}", from_the_page(ada)) for n in range(70)]
    assert {response.code for response in wrong} == {"pairing_refused"}
    paired = send_form(ada, code.link, from_the_page(ada))
    assert paired.status == 303
    assert _is_in(ada, token_of(paired))
    assert send_form(ada, code.link, from_the_page(ada)).code == "pairing_refused"


def test_links_that_are_wrong_take_no_try_from_typed_codes(ada: Portal) -> None:
    code = new_codes(ada)
    wrong = [send_form(ada, f"{n:026}", from_the_page(ada)) for n in range(70)]
    typed = send_form(ada, WRONG, from_the_page(ada))
    assert {response.comparable for response in wrong} == {typed.comparable}
    assert send_form(ada, code.typed, from_the_page(ada)).status == 303
    assert send_form(ada, code.link, from_the_page(ada)).code == "pairing_refused"


def test_a_person_is_told_what_was_wrong_and_keeps_the_name(ada: Portal) -> None:
    to = f"http://{ada.app_host('notes')}/x?y"
    wrong = send_form(ada, WRONG, from_the_page(ada), HTML, name='My "phone"', to=to)
    assert wrong.status == 403
    assert wrong.one("content-type") == b"text/html; charset=utf-8"
    assert wrong.one("portal-refusal") == b"pairing_refused"
    assert wrong.one("cache-control") == b"no-store"
    assert b'role="alert"' in wrong.body
    assert b"This code isn&#x27;t good" in wrong.body
    assert b'value="My &quot;phone&quot;"' in wrong.body
    assert f'name="to" value="{to}"'.encode() in wrong.body
    for _ in range(5):
        many = send_form(ada, WRONG, from_the_page(ada), HTML)
    assert many.status == 429
    seconds = int(many.one("retry-after"))
    assert f"Try again in {seconds} second".encode() in many.body


@pytest.mark.parametrize(
    ("fields", "body", "status", "code"),
    [
        ((("Content-Type", "application/json"),), b'{"code": "x"}', 400, "bad_request"),
        ((("Content-Type", "text/plain"),), b"code=x", 400, "bad_request"),
        ((), b"code=x", 400, "bad_request"),
        ((FORM,), b"code=x&code=y", 400, "bad_request"),
        ((FORM,), b"code=%ff", 400, "bad_request"),
        ((FORM,), b"code=" + b"x" * 4092, 413, "too_large"),
        ((FORM,), b"code=" + b"x" * 4091, 403, "pairing_refused"),
        ((FORM,), b"", 403, "pairing_refused"),
    ],
)
def test_only_a_small_form_is_read(
    ada: Portal, fields: tuple[tuple[str, str], ...], body: bytes, status: int, code: str
) -> None:
    head = (("Host", ada.host), from_the_page(ada), *fields)
    got = exchange(ada.public, request("POST", PAIR, *head, body=body))
    assert (got.status, got.code) == (status, code)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_not_served(ada: Portal, method: str) -> None:
    got = exchange(ada.public, request(method, PAIR, ("Host", ada.host)))
    assert (got.status, got.code) == (405, "method_not_allowed")
    assert got.one("allow") == b"GET, HEAD, POST"
    head = send(ada, request("HEAD", PAIR, ("Host", ada.host)))
    assert (head.status, head.body) == (200, b"")


def test_a_list_that_cannot_be_read_refuses_everybody_and_costs_no_code(ada: Portal) -> None:
    pair(ada)  # so that there is a list
    code = new_code(ada)
    path = ada.state / "terminals.yaml"
    kept = path.read_bytes()
    path.write_bytes(b"v: 1\nterminals: [\n")
    try:
        down = send_form(ada, code, from_the_page(ada))
        assert (down.status, down.code) == (503, "pairing_store_down")
        shown = send_form(ada, code, from_the_page(ada), HTML)
        assert b"Nothing can be paired just now" in shown.body
    finally:
        path.write_bytes(kept)
    assert send_form(ada, code, from_the_page(ada)).status == 303


def test_the_log_tells_who_was_paired_and_no_secret(ada: Portal) -> None:
    code = new_code(ada)
    paired = send_form(ada, code, from_the_page(ada), name="Tablet\n\x1b[31m")
    known = {"method": "POST", "caller_id": terminals(ada)[-1].id}
    eventually(lambda: ada.lines(**known))
    (line,) = ada.lines(**known)
    assert (line["status"], line["caller"]) == (303, "terminal")
    assert "\x1b" not in line["caller_name"]
    assert code not in ada.log
    assert token_of(paired) not in ada.log
    _open(ada, "/logged", HTML)
    eventually(lambda: ada.lines(path="/logged"))
    (sent,) = ada.lines(path="/logged")
    assert (sent["status"], sent["outcome"], sent["code"]) == (303, "refused", "proof_required")
