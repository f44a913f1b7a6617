"""The gate for strangers: what is public, and nothing else."""

from dataclasses import replace

import pytest

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.policy import ANONYMOUS, Access, Mode
from proxy.core.access.rules import Rule, Rules
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, RefusedPeer, admit
from tests.core.peering import (
    ADAS,
    BOBS,
    CONTEXT,
    HOST,
    NOW,
    Claims,
    Draft,
    ask,
    unsigned,
)


def test_where_the_owner_accepts_sealed_calls_alone_strangers_still_come_in() -> None:
    context = replace(CONTEXT, modes=frozenset({"sealed"}))
    with pytest.raises(RefusedPeer) as caught:
        admit(Draft().sign(), context, NOW, Claims())
    assert caught.value.code is Code.MODE_NOT_ACCEPTED
    assert isinstance(ask(unsigned("/public"), context), Admission)


def test_a_stranger_comes_to_what_is_public_with_nothing_of_ours() -> None:
    signature = [("signature", "a=:AAAA:"), ("signature-input", 'a=("@path")')]
    digest = ("content-digest", "md5=:AAAA:")
    forged = [("x-ptl-client-id", ADAS), ("X_User".lower(), "ada"), ("portal-token", "t")]
    via = [("x-forwarded-for", "127.0.0.1"), ("x_forwarded_for", "127.0.0.1"), ("via", "x")]
    admission = ask(unsigned("/public?x", *signature, digest, *forged, *via, ("accept", "*/*")))
    assert isinstance(admission, Admission)
    assert admission.caller is ANONYMOUS
    assert admission.question is None
    assert admission.digests == {}
    kept = (*signature, digest, ("accept", "*/*"))
    assert admission.fields == tuple((n.encode(), v.encode()) for n, v in kept)


@pytest.mark.parametrize("target", ["/", "/peer", "/public/secret", "/publicX", "/PUBLIC/SECRET"])
def test_a_stranger_comes_to_nothing_else(target: str) -> None:
    assert ask(unsigned(target)) is Code.PROOF_REQUIRED


def test_a_stranger_at_what_is_for_peers_is_told_how_they_call() -> None:
    with pytest.raises(Refusal) as caught:
        admit(unsigned("/peer/secret?x"), CONTEXT, NOW, Claims())
    own = f"http://{HOST.partition(':')[0]}/..."
    by_path = f"http://portal_core/internal/call_peer/{BOBS[:6]}/..."
    for told in (own, by_path, "HTTP_PROXY"):
        assert told in caught.value.hint
    assert "secret" not in caught.value.hint
    for target in ("/private", "/public/%F6"):
        with pytest.raises(Refusal) as caught:
            admit(unsigned(target), CONTEXT, NOW, Claims())
        assert caught.value.hint == ""


@pytest.mark.parametrize(
    "target",
    ["ftp://evil.example/public", "http:public", "public", "*", "/public/../public", "/public#x"],
)
def test_a_strangers_target_is_judged_too(target: str) -> None:
    assert ask(unsigned(target)) is Code.BAD_TARGET


@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS"])
def test_a_target_in_absolute_form_leads_where_its_host_does(scheme: str) -> None:
    admission = ask(unsigned(f"{scheme}://{HOST.upper()}/public/%2F?a=%E4"))
    assert isinstance(admission, Admission)
    assert (admission.app, admission.target.raw) == ("guestbook", b"/public/%2F?a=%E4")
    assert ask(unsigned(f"{scheme}://{HOST}/private")) is Code.PROOF_REQUIRED
    assert ask(unsigned(f"{scheme}://{HOST}/public/../private")) is Code.BAD_TARGET


@pytest.mark.parametrize(
    "target",
    ["http://evil.example/public", "http://bob.example/public", f"http://{HOST}./public",
     f"http://ada@{HOST}/public", f"http://{HOST}:1/public", "http:///public"],
)  # fmt: skip
def test_one_that_names_another_host_is_misdirected(target: str) -> None:
    assert ask(unsigned(target)) is Code.MISDIRECTED


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"trace", b"Connect"])
def test_no_stranger_traces_or_opens_a_tunnel(method: bytes) -> None:
    for target in ("/public", "/peer", "/"):
        assert ask(replace(unsigned(target), method=method)) is Code.METHOD_NOT_ALLOWED
    own = CONTEXT.hosts.origin.authority
    assert ask(replace(unsigned("/", host=own), method=method)) is Code.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("method", [b"TRACED", b"OPTIONS", b"PROPFIND", b"BREW", b"get"])
def test_any_other_method_is_the_apps_own_affair(method: bytes) -> None:
    assert isinstance(ask(replace(unsigned("/public"), method=method)), Admission)


@pytest.mark.parametrize(
    "target", ["/public/%F6", "/public/\xf6", "/public/%5C", "/public/%0A", "/pub%80lic/secret"]
)
def test_what_can_be_read_in_several_ways_is_under_all_rules(target: str) -> None:
    assert ask(unsigned(target)) is Code.PROOF_REQUIRED
    rules = Rules((Rule(b"", Access.PUBLIC), Rule(b"/public", Access.PUBLIC)))
    context = replace(CONTEXT, apps={"guestbook": RuleMatcher(rules)})
    admission = ask(unsigned(target), context)
    assert isinstance(admission, Admission)
    assert admission.target.raw == target.encode("latin-1")


def test_raw_bytes_of_utf_8_are_as_their_escapes() -> None:
    for target in ("/public/\xc3\xa4?\xc3\xa4", "/public/%C3%A4"):
        assert isinstance(ask(unsigned(target)), Admission)


def test_a_stranger_may_ask_the_portal_itself() -> None:
    for host in (CONTEXT.hosts.origin.authority, "bob.example"):
        admission = ask(unsigned("/.well-known/portal-identity", ("x_user", "x"), host=host))
        assert isinstance(admission, Admission)
        assert (admission.app, admission.rule) == (None, None)
        assert admission.fields == ((b"x_user", b"x"),)


def test_a_stranger_learns_which_apps_there_are_by_their_names_alone() -> None:
    host = HOST.replace("guestbook", "nothing")
    assert ask(unsigned("/public", host=host)) is Code.NO_SUCH_APP


def test_an_upgrade_of_a_strangers_request_is_none_of_the_gates_business() -> None:
    fields = [("connection", "Upgrade"), ("upgrade", "websocket")]
    admission = ask(unsigned("/public", *fields))
    assert isinstance(admission, Admission)
    assert admission.fields == ()


@pytest.mark.parametrize(
    "fields",
    [
        [("signature-input", 'a=();tag="portal-peering"')],
        [("signature-input", "portal-peering")],
        [("signature-input", "x"), ("signature-input", "((((portal-peering")],
        [("portal-key", "")],
        [("portal-to", "x")],
        [("portal-seal", "x")],
    ],
)
def test_a_request_that_claims_to_be_a_portals_is_never_taken_for_a_strangers(
    fields: list[tuple[str, str]],
) -> None:
    assert ask(unsigned("/public", *fields)) is Code.SIGNATURE_MALFORMED


# --- a second target -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "code"),
    [
        ("/private/x", Code.PROOF_REQUIRED),
        (f"http://{HOST}/peer/x", Code.PROOF_REQUIRED),
        (f"https://{HOST}/public/secret/x", Code.PROOF_REQUIRED),
        (f"https://{HOST}?/public", Code.PROOF_REQUIRED),
        ("/public/SECRET", Code.PROOF_REQUIRED),
        ("http://elsewhere.example/public", Code.BAD_FIELD),
        ("/public/../peer", Code.BAD_FIELD),
        ("public", Code.BAD_FIELD),
        ("/" + "x" * 9000, Code.BAD_FIELD),
        ("/public/%F6", Code.PROOF_REQUIRED),
        ("/public/\xf6", Code.PROOF_REQUIRED),
        ("///x/peer", Code.PROOF_REQUIRED),
    ],
)
def test_where_a_request_writes_is_judged_like_its_target(destination: str, code: Code) -> None:
    assert ask(unsigned("/public/a", ("destination", destination))) is code


@pytest.mark.parametrize(
    "destination",
    ["/public/b", f"HTTPS://{HOST.upper()}/public/b%2Fc?d", "http://guestbook.bob.example/public"],
)
def test_a_destination_that_is_as_open_passes_as_it_came(destination: str) -> None:
    admission = ask(unsigned("/public/a", ("destination", destination)))
    assert isinstance(admission, Admission)
    assert (b"destination", destination.encode()) in admission.fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-copy-source", "box/private"),
        ("x-copy-from", "/private/x"),
        ("x_copy_from", "/private/x"),
        ("x-ms-copy-source", "http://elsewhere.example/private"),
        ("x-object-manifest", "private/x"),
        ("upload-concat", "final;/private/a /public/b"),
        ("upload-concat", ""),
    ],
)
def test_what_copies_from_elsewhere_is_judged_by_all_rules(name: str, value: str) -> None:
    assert ask(unsigned("/public/a", (name, value))) is Code.PROOF_REQUIRED
    context = replace(CONTEXT, apps={"guestbook": RuleMatcher(Rules((Rule(b"", Access.PUBLIC),)))})
    assert isinstance(ask(unsigned("/public/a", (name, value)), context), Admission)


@pytest.mark.parametrize("field", [("upload-concat", "partial"), ("x-amz-date", "x")])
def test_what_copies_nothing_is_not(field: tuple[str, str]) -> None:
    assert isinstance(ask(unsigned("/public/a", field)), Admission)


@pytest.mark.parametrize("destination", ["http://elsewhere.example/", "Berlin", "/a/../b"])
def test_where_an_app_has_one_access_nothing_needs_judging(destination: str) -> None:
    rules = Rules((Rule(b"", Access.PUBLIC), Rule(b"/a", Access.PUBLIC)))
    context = replace(CONTEXT, apps={"guestbook": RuleMatcher(rules)})
    admission = ask(unsigned("/", ("destination", destination)), context)
    assert isinstance(admission, Admission)
    assert admission.fields == ((b"destination", destination.encode()),)


def test_at_the_portal_itself_it_is_just_a_field() -> None:
    own = CONTEXT.hosts.origin.authority
    assert isinstance(ask(unsigned("/", ("destination", "?"), host=own)), Admission)


@pytest.mark.parametrize(
    "fields",
    [(), (("cookie", "portal-terminal=" + "T" * 43),), (("upgrade", "websocket"),),
     (("signature", "a=:AAAA:"), ("signature-input", 'a=("@path")'))],
)  # fmt: skip
def test_where_apps_have_no_hosts_one_is_like_a_host_that_isnt_ours(
    fields: tuple[tuple[str, str], ...],
) -> None:
    one_name = replace(CONTEXT, hosts=replace(CONTEXT.hosts, of_apps=False))
    for host in (HOST, "nobody." + HOST.partition(".")[2], "guestbook.bob.example"):
        assert ask(unsigned("/public", *fields, host=host), one_name) is Code.MISDIRECTED
    admission = ask(unsigned("/", *fields, host="bob.example"), one_name)
    assert isinstance(admission, Admission)
    assert admission.app is None


@pytest.mark.parametrize("modes", [{"sealed"}, {"sealed", "signed"}])
def test_where_apps_have_no_hosts_no_signed_call_gets_to_one(modes: set[Mode]) -> None:
    hosts = replace(CONTEXT.hosts, of_apps=False)
    one_name = replace(CONTEXT, hosts=hosts, modes=frozenset(modes))
    with pytest.raises(RefusedPeer) as caught:
        admit(Draft().sign(), one_name, NOW, Claims())
    assert caught.value.code is Code.MODE_NOT_ACCEPTED
