"""``acme`` of portal.yaml: what is taken, and what doesn't go together with the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.acme import LETS_ENCRYPT, Acme
from proxy.config.listen import Address
from proxy.config.portal_yaml import Config, load_config
from proxy.core.errors import Invalid
from tests.one_name import ONE_NAME

ID = "wtq270" + "c" * 97


def load(folder: Path, text: str, **environ: str) -> Config:
    (folder / "portal.yaml").write_text(text)
    return load_config(folder, environ)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(Invalid) as invalid:
        load(folder, text)
    return [f"{problem.place}: {problem.what}" for problem in invalid.value.problems]


def test_two_lines_are_enough(tmp_path: Path) -> None:
    config = load(tmp_path, f"{ONE_NAME}acme:\n  agree: true\n")
    assert config.acme == Acme(LETS_ENCRYPT, None, (), Address("0.0.0.0", 80), None)
    assert config.certified(ID) == ("portal.ada.example",)


def test_tls_is_spoken_with_what_is_got(tmp_path: Path) -> None:
    config = load(tmp_path, f"{ONE_NAME}state: here\nacme: {{agree: true}}\n")
    assert config.tls is not None
    assert config.tls.certificate == config.tls.key
    assert config.tls.key == tmp_path / "here" / "acme" / "certificate.pem"


def test_without_it_nothing_is_asked_for(tmp_path: Path) -> None:
    config = load(tmp_path, ONE_NAME)
    assert config.acme is None
    assert config.tls is None


def test_every_key(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        ONE_NAME
        + """\
acme:
  agree: true
  email: ada@ada.example
  directory: https://ca.ada.example:14000/dir
  names: [GUESTBOOK.portal.ada.example, "{short_id}.ada.example"]
  listen: "[::]:8080"
  authorities: ca.pem
listen: {public: "[::]:443"}
""",
    )
    assert config.acme == Acme(
        "https://ca.ada.example:14000/dir",
        "ada@ada.example",
        ("guestbook.portal.ada.example", "{short_id}.ada.example"),
        Address("[::]", 8080),
        tmp_path / "ca.pem",
    )
    names = ("portal.ada.example", "guestbook.portal.ada.example", "wtq270.ada.example")
    assert config.certified(ID) == names


def test_the_environment_may_say_it(tmp_path: Path) -> None:
    config = load(
        tmp_path, ONE_NAME, PORTAL_ACME_AGREE="true", PORTAL_ACME_NAMES="a.b.example, c.d.example"
    )
    assert config.acme is not None
    assert config.acme.names == ("a.b.example", "c.d.example")


@pytest.mark.parametrize("said", ["email: ada@ada.example", "agree: false", "agree: yes"])
def test_nobody_is_asked_who_wasnt_agreed_with(tmp_path: Path, said: str) -> None:
    (problem,) = problems(tmp_path, f"{ONE_NAME}acme:\n  {said}\n")
    assert problem.startswith("acme.agree: ")


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("directory: http://ca.example/dir", "acme.directory"),
        ("directory: ca.example", "acme.directory"),
        ("directory: https://u:p@ca.example/dir", "acme.directory"),
        ("directory: https:///dir", "acme.directory"),
        ("directory: https://ca.example:99999/", "acme.directory"),
        ('directory: "https://ca.example/a b"', "acme.directory"),
        ('directory: "https://[::1/dir"', "acme.directory"),
        ("email: ada", "acme.email"),
        ("email: a@b", "acme.email"),
        ('email: "a@b.example,c@d.example"', "acme.email"),
        ("names: [guestbook]", "acme.names[0]"),
        ('names: ["*.ada.example"]', "acme.names[0]"),
        ("names: [a..example]", "acme.names[0]"),
        ("names: [203.0.113.5]", "acme.names[0]"),
        ("names: [a.example/b]", "acme.names[0]"),
        (f"names: [{', '.join(f'a{n}.example' for n in range(100))}]", "acme.names"),
        ("listen: 80", "acme.listen"),
        ("listen: unix:socket", "acme.listen"),
        ("listen: 127.0.0.1:8081", "acme.listen"),
        ("listen: 0.0.0.0:8080", "acme.listen"),
        ("mail: a@b.example", "acme.mail"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, said: str, place: str) -> None:
    (problem,) = problems(tmp_path, f"{ONE_NAME}acme:\n  agree: true\n  {said}\n")
    assert problem.startswith(f"{place}: ")
    assert "expected" in problem or "did you mean" in problem


def test_a_certificate_comes_from_one_place(tmp_path: Path) -> None:
    text = f"{ONE_NAME}acme: {{agree: true}}\ntls: {{certificate: a.pem, key: b.pem}}\n"
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("acme: ")
    assert "tls" in problem


def test_plain_http_needs_none(tmp_path: Path) -> None:
    text = ONE_NAME.replace("https:", "http:") + "acme: {agree: true}\n"
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("public_url: ")


@pytest.mark.parametrize("host", ["localhost", "203.0.113.5"])
def test_no_authority_certifies_what_is_no_name_in_dns(tmp_path: Path, host: str) -> None:
    text = ONE_NAME.replace("portal.ada.example", host) + "acme: {agree: true}\n"
    (problem,) = problems(tmp_path, text)
    assert host in problem


def test_with_hosts_for_apps_each_is_listed(tmp_path: Path) -> None:
    text = ONE_NAME.replace("app_hosts: false", "app_hosts: true")
    (problem,) = problems(tmp_path, f"{text}acme: {{agree: true}}\n")
    assert problem.startswith("acme.names: ")
    assert "app_hosts: false" in problem
    config = load(tmp_path, f"{text}acme: {{agree: true, names: [guestbook.portal.ada.example]}}\n")
    assert config.certified(ID) == ("portal.ada.example", "guestbook.portal.ada.example")
