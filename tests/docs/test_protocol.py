"""docs/protocol.md says what the code does: its tables and its worked example can't grow old."""

import hashlib
import re

import pytest

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import Access, Contact, ContactList
from proxy.core.access.rules import Rule, Rules
from proxy.core.card import Card, write_card
from proxy.core.epoch import Epoch
from proxy.core.errors import Code, Refusal
from proxy.core.gate import AccessContext, Request, admit
from proxy.core.http.headers import (
    FRAMING,
    HOP_BY_HOP,
    INTERMEDIARY,
    RENAMED,
    RENAMED_IN_RESPONSES,
    Fields,
)
from proxy.core.http.origin import parse_origin
from proxy.core.http.problem import REFUSAL_FIELD, refusal_response
from proxy.core.identity import PrivateKey, short_id
from proxy.core.identity_document import (
    LIFETIME,
    document_body,
    sign_document,
    verify_document,
)
from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.core.sealing.offer import OfferedKey
from proxy.core.sealing_rotation import DEFAULT_ROTATION
from proxy.core.signature.base import Message
from proxy.core.signature.digest import BodyDigest, content_digest
from proxy.core.signature.parameters import encode_nonce
from proxy.core.signature.request import TAG, Recipient, sign_request
from proxy.core.signature.response import TAG as RESPONSE_TAG
from proxy.core.signature.response import Question, sign_response, verify_response
from proxy.core.written_id import write_id
from tests.docs.page import (
    ADA,
    ADA_SEED,
    ANSWERED,
    BOB,
    BOB_SEED,
    BODY,
    EPOCH,
    METHOD,
    NONCE,
    ORIGIN,
    RESPONSE_BODY,
    SENT,
    TARGET,
    base,
    example,
    page,
    wire,
)
from tests.docs.sealed import CONFIG

_OFFER = OfferedKey(CONFIG, SENT + DEFAULT_ROTATION + LIFETIME)


def _digest(body: bytes) -> tuple[bytes, bytes]:
    return content_digest(hashlib.sha256(body).digest())


def _signed_request() -> tuple[Message, Question]:
    """Return Ada's request as it is signed, and the question that the response belongs to."""
    message = Message(
        fields=(
            (b"content-type", b"application/json"),
            (b"accept", b"application/json"),
            (b"accept", b"text/plain"),
            _digest(BODY),
        ),
        method=METHOD,
        authority=ORIGIN.authority,
        target=TARGET,
        scheme=ORIGIN.scheme,
    )
    to = Recipient(BOB.public.portal_id, "guestbook", EPOCH)
    signed = sign_request(ADA, message, to, nonce=NONCE, now=SENT)
    return signed.message, Question(signed.message, signed.components, encode_nonce(NONCE))


def _signed_response() -> Message:
    _, question = _signed_request()
    fields = (
        (b"content-type", b"application/json"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        _digest(RESPONSE_BODY),
    )
    return sign_response(BOB, Message(fields=fields, status=201), question, now=ANSWERED).message


def _wire(start: bytes, fields: Fields, body: bytes) -> str:
    length = (b"content-length", str(len(body)).encode())
    return wire(start, (*fields, length), body)


def _document() -> str:
    domain = ORIGIN.host.removeprefix("guestbook.")
    epoch = Epoch(EPOCH, 0)
    body = document_body(BOB, "Bob", domain, ("sealed", "signed"), (_OFFER,), LARGEST_CHUNK, epoch)
    fields = sign_document(BOB, _digest(body), now=SENT)
    return _wire(b"HTTP/1.1 200 OK", fields, body)


def _out_of_time() -> str:
    """Return what the page shows of the refusal of a call that was signed under no epoch."""
    refusal = Refusal(Code.OUT_OF_TIME, now=ANSWERED, epoch=Epoch(EPOCH, 600_000))
    response = refusal_response(refusal)
    shown = (REFUSAL_FIELD, b"content-type")
    fields = [pair for pair in response.fields if pair[0] in shown]
    return wire(b"HTTP/1.1 401 Unauthorized", fields, response.body)


def _card() -> str:
    portal_id = PrivateKey(ADA_SEED).public.portal_id
    return write_card(Card(portal_id, f"https://{short_id(portal_id)}.p.getportal.org", "Ada"))


def examples() -> dict[str, str]:
    """Return every worked example of the page by its name, made anew from the fixed keys."""
    request, question = _signed_request()
    response = _signed_response()
    host = (b"host", ORIGIN.authority.encode())
    start = METHOD + b" " + TARGET + b" HTTP/1.1"
    return {
        "keys": "\n".join(
            f"{name}: seed {seed.hex()}\n"
            f"  public key {PrivateKey(seed).public.raw.hex()}\n"
            f"  Portal ID  {PrivateKey(seed).public.portal_id}"
            for name, seed in (("Ada", ADA_SEED), ("Bob", BOB_SEED))
        ),
        "pem": BOB.public.pem.rstrip("\n"),
        "written id": write_id(PrivateKey(ADA_SEED).public.portal_id),
        "card": _card(),
        "request": _wire(start, (host, *request.fields), BODY),
        "request base": base(request, TAG),
        "response": _wire(b"HTTP/1.1 201 Created", response.fields, RESPONSE_BODY),
        "response base": base(response, RESPONSE_TAG, question.message),
        "document": _document(),
        "out of time": _out_of_time(),
    }


def _cells(heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading, without its head."""
    section = page().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def _names(sentence: str) -> set[bytes]:
    """Return the field names of the list that begins with ``sentence``."""
    listed = page().split(sentence, 1)[1].split("\n\n", 1)[0]
    return {name.encode() for name in re.findall(r"`([a-z0-9-]+)`", listed)}


def test_the_table_has_every_refusal_code_with_its_status_and_title_and_no_other() -> None:
    shown = [
        (code.strip("`"), int(status), title) for code, status, title, *_ in _cells("Refusals")
    ]
    assert sorted(shown) == sorted((code.public, code.status, code.title) for code in Code)


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("**Hop-by-hop fields**:", HOP_BY_HOP),
        ("**Framing fields**:", FRAMING),
        ("**Intermediary fields**:", INTERMEDIARY),
    ],
)
def test_the_page_lists_exactly_the_fields_that_the_code_does(
    sentence: str, names: frozenset[bytes]
) -> None:
    assert _names(sentence) == names


def test_the_page_shows_the_names_under_which_an_apps_own_fields_travel() -> None:
    section = page().split("**Renamed fields**:", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| `([a-z-]+)` \| (.+) \|$", section, re.MULTILINE)
    shown = {name.encode(): (travels.encode(), where) for name, travels, where in rows}
    assert shown == {
        name: (travels, "requests and responses" if name in RENAMED else "responses")
        for name, travels in RENAMED_IN_RESPONSES.items()
    }


@pytest.mark.parametrize("name", list(examples()))
def test_an_example_is_what_the_code_makes_byte_for_byte(name: str) -> None:
    assert example(name) == examples()[name]


def _parsed(text: str) -> tuple[str, Fields, bytes]:
    head, _, body = text.partition("\n\n")
    start, *lines = head.split("\n")
    pairs = (line.split(": ", 1) for line in lines)
    return start, [(name.encode(), value.encode()) for name, value in pairs], body.encode()


def test_the_request_on_the_page_is_admitted() -> None:
    start, fields, body = _parsed(example("request"))
    method, target, _ = start.encode().split(b" ")
    ada = ADA.public.portal_id
    portal = parse_origin(f"https://{ORIGIN.host.removeprefix('guestbook.')}")
    context = AccessContext(
        BOB.public.portal_id,
        Hosts(portal),
        {"guestbook": RuleMatcher(Rules((Rule(b"/peer", Access.PEER),)))},
        ContactList((Contact(ada, "Ada", "https://ada.test"),), {"guestbook": "all"}),
    )
    claimed: list[tuple[str, bytes, bytes | None]] = []
    admission = admit(
        Request(method, target, fields), context, SENT, lambda *claim: claimed.append(claim)
    )
    assert claimed == [(ada, NONCE, EPOCH)]
    assert admission.caller.id == ada
    digest = BodyDigest(admission.digests)
    digest.update(body)
    digest.refuse_mismatch()


def test_the_response_on_the_page_is_believed() -> None:
    start, fields, _ = _parsed(example("response"))
    _, question = _signed_request()
    message = Message(fields=fields, status=int(start.split()[1]))
    verified = verify_response(BOB.public.portal_id, message, question)
    assert [name for name, _ in verified.fields][:3] == [
        b"content-type",
        b"set-cookie",
        b"set-cookie",
    ]


def test_the_identity_document_on_the_page_is_believed() -> None:
    _, fields, body = _parsed(example("document"))
    head = Message(fields=fields, status=200)
    document = verify_document(BOB.public.portal_id, head, body, now=SENT)
    assert document.name == "Bob"
    assert document.modes == {"sealed", "signed"}
    assert document.sealing_keys == (_OFFER,)
    assert document.largest_chunk == LARGEST_CHUNK
    assert document.epoch == EPOCH
