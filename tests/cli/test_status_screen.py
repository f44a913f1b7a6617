"""What ``status`` shows a person."""

from typing import Any

from proxy.cli.status_screen import MOST_CONTACTS, screen

_ID = "8271dd" + "a" * 97
NOW = 1_000_000


def found(**changes: Any) -> dict[str, Any]:
    return {
        "id": _ID, "name": "Ada", "address": "https://8271dd.a.example", "version": "0.1.0",
        "program": "0.1.0", "runs": True, "why_not": "", "status": "ok", "problems": [],
        "process": 1, "workers": 1, "started": NOW - 7300, "now": NOW, "waiting": {},
        "listeners": {"public": {"address": "http://0.0.0.0:8080", "connections": 3}},
        "certificate": None, "apps": {}, "contacts": [], "contacts_in_all": 0,
        "backup": NOW - 3 * 86_400, "throw_away": False, **changes,
    }  # fmt: skip


def contact(**changes: Any) -> dict[str, Any]:
    return {
        "id": "b8rk3f" + "b" * 97, "name": "Bob", "address": "https://b.example", "mode": "sealed",
        "last_in": None, "last_out": None, "reachable": None, **changes,
    }  # fmt: skip


def test_all_of_it_on_one_screen() -> None:
    text = screen(
        found(
            apps={"files": {"upstream": "http://127.0.0.1:9", "answer": "refuses"}},
            contacts=[
                contact(
                    last_in={"at": NOW - 30, "answered": True},
                    last_out={"at": NOW - 200, "answered": False},
                    reachable=True,
                )
            ],
            contacts_in_all=1,
            waiting={"start": ["listen.public"], "reload": ["name"]},
            problems=["contacts.yaml: is damaged"],
        )
    )
    lines = text.splitlines()
    assert lines[0] == "Ada  8271dd"
    assert "  Proxy     runs for 2 h, 1 process" in lines
    assert "  Public    http://0.0.0.0:8080, 3 connections" in lines
    assert "  Backup    3 d ago" in lines
    assert "  Settings  hold from the next start: listen.public" in lines
    assert "  Settings  hold from SIGHUP or the next start: name" in lines
    assert "files  refuses     http://127.0.0.1:9" in lines
    assert "Bob      b8rk3f  30 s ago      3 min ago, failed  yes" in lines
    assert lines[-1] == "problem: contacts.yaml: is damaged"
    assert len(lines) < 24


def test_who_has_tls_is_told_and_that_nobody_has_at_a_plain_http_address() -> None:
    assert "  TLS       none of its own: a web server in front has it" in screen(found())
    plain = screen(found(address="http://ada.example:8080"))
    assert "  TLS       none: the address is a plain http one" in plain


def test_of_many_contacts_a_screenful() -> None:
    text = screen(found(contacts=[contact()] * 40, contacts_in_all=300))
    assert text.count("Bob") == MOST_CONTACTS
    assert f"and {300 - MOST_CONTACTS} more" in text


def test_what_nobody_knows_is_told_as_that() -> None:
    text = screen(found(contacts=None, backup=None, id=None, address=None))
    assert "can't be read just now" in text
    assert "never made" in text
    assert "without a key" in text


def test_two_versions_are_told() -> None:
    assert "0.2.0 is installed, from the next start" in screen(found(program="0.2.0"))


def test_a_certificate_is_told_with_its_end() -> None:
    ends = {"ends": NOW + 5 * 86_400, "names": ["a.example", "*.a.example"], "problems": []}
    assert "TLS       ends in 5 d; for a.example, *.a.example" in screen(found(certificate=ends))
    assert "ended 10 s ago" in screen(found(certificate={**ends, "ends": NOW - 10}))


def test_an_identity_to_throw_away_needs_no_backup() -> None:
    assert "none needed" in screen(found(throw_away=True))


def certificate(failure: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "file": "certificate.pem", "names": ["portal.ada.example"], "ends": NOW + 20 * 86_400,
        "problems": [], "renewal": {"directory": "https://ca.example/", "failure": failure},
    }  # fmt: skip


def test_a_certificate_that_renews_itself_says_so() -> None:
    lines = screen(found(certificate=certificate(None))).splitlines()
    assert "  TLS       ends in 20 d; for portal.ada.example; renewed by itself" in lines


def test_a_renewal_that_failed_is_shown_with_its_reason() -> None:
    failure = {"reason": "port 80", "at": NOW - 600, "times": 1, "next_try": NOW + 300}
    lines = screen(found(certificate=certificate(failure))).splitlines()
    told = "ends in 20 d; for portal.ada.example; not renewed 10 min ago, again in 5 min: port 80"
    assert f"  TLS       {told}" in lines
