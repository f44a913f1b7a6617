"""What an owner is told of a web server that answers in a Portal's place."""

from __future__ import annotations

import pytest

from proxy.core.http.web_server import explain_unproven

HOST = "bob.example"
NGINX = (b"server", b"nginx/1.22.1")
REFUSED = (b"portal-refusal", b"misdirected")


@pytest.mark.parametrize(
    ("status", "fields", "said"),
    [
        (413, [NGINX], "calls itself nginx/1.22.1, says 413: it takes no body of this size."),
        (413, [NGINX], "In nginx: client_max_body_size 0."),
        (413, [(b"server", b"Caddy")], "In Caddy: no max_size in request_body."),
        (413, [], "In nginx: client_max_body_size 0; in Caddy"),
        (413, [(b"server", b"cloudflare")], "DNS alone"),
        (421, [REFUSED, NGINX], "a web server before it (nginx/1.22.1) seems to change Host"),
        (421, [REFUSED, NGINX], "proxy_set_header Host $http_host."),
        (421, [REFUSED], "passHostHeader: true"),
        (421, [(b"server", b"Apache/2.4")], "another site for the name in TLS"),
        (502, [NGINX], "it can't reach the proxy behind it, or not read it. In nginx: proxy_pass"),
        (503, [(b"server", b"Traefik")], "the service's url"),
        (504, [NGINX], "proxy_read_timeout 2m"),
        (524, [(b"server", b"cloudflare")], "silent for too long"),
        (404, [], "it has another site at this name, or none"),
        (405, [NGINX], "doesn't pass that method on"),
        (401, [(b"www-authenticate", b"Basic")], "it asks for a login"),
        (302, [(b"location", b"https://auth.example.org/x?rd=y")], "it redirects to auth.example."),
        (302, [(b"location", b"/login")], "as to a page where people log in"),
        (302, [(b"location", b"https://a.example/"), (b"server", b"traefik")], "forwardAuth"),
        (301, [(b"location", b"https://BOB.example/x")], "must begin with https"),
        (200, [(b"content-type", b"text/html; charset=utf-8")], "a page for people"),
        (200, [(b"content-type", b"application/json")], "it isn't a Portal that speaks there"),
        (299, [], "it isn't a Portal that speaks there"),
        (503, [(b"portal-refusal", b"too_many_connections")], "too_many_connections"),
    ],
)
def test_what_an_owner_is_told(status: int, fields: list[tuple[bytes, bytes]], said: str) -> None:
    told = explain_unproven(status, fields, HOST)
    assert said in told
    assert told.endswith((".", "?"))


@pytest.mark.parametrize(
    "server",
    [b"\x1b[31mnginx", b"nginx\xe2\x80\xae", b"<b>nginx", b"", b"a;b", b" ", b"(nginx"],
)
def test_a_name_that_is_not_plain_is_nobodys(server: bytes) -> None:
    told = explain_unproven(502, [(b"server", server)], HOST)
    assert told.startswith("A web server says 502")
    assert told.isascii()
    assert told.isprintable()


@pytest.mark.parametrize(
    "location",
    [b"https://\x1b[31m.example/", b"https://user@evil.example/", b"javascript:x", b"//x.example/"],
)
def test_no_more_of_a_redirect_is_shown_than_a_plain_host(location: bytes) -> None:
    told = explain_unproven(302, [(b"location", location)], HOST)
    assert "example" not in told
    assert told.isprintable()


def test_what_is_quoted_is_short() -> None:
    long = b"nginx" + b"x" * 5000
    fields = [(b"server", long), (b"location", b"https://" + b"a" * 5000 + b"/")]
    assert len(explain_unproven(302, fields, HOST)) < 600
    assert len(explain_unproven(503, [(b"portal-refusal", b"x" * 5000)], HOST)) < 600
