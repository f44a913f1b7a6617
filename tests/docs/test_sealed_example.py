"""The sealed call on docs/protocol.md is what the code makes, and what the other side takes."""

import base64
import re

import pytest

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import Access, Contact, ContactList
from proxy.core.access.rules import Rule, Rules
from proxy.core.binary_http.message import COMPLETE, RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader, ResponseReader
from proxy.core.gate import AccessContext, Admission, Request, admit
from proxy.core.http.headers import restored_after_travel
from proxy.core.http.origin import parse_origin
from proxy.core.sealing.key_config import parse_key_config
from proxy.core.sealing.message import Event, MessageOpener
from proxy.core.sealing.request import RequestOpener
from tests.docs.page import (
    ADA,
    BOB,
    BODY,
    EPOCH,
    METHOD,
    ORIGIN,
    RESPONSE_BODY,
    SENT,
    TARGET,
    example,
)
from tests.docs.sealed import (
    CONFIG,
    KEY,
    NONCE,
    bytes_of,
    envelope,
    examples,
    response_envelope,
    sealer,
)


@pytest.mark.parametrize("name", list(examples()))
def test_a_block_of_the_sealed_example_is_what_the_code_makes(name: str) -> None:
    assert example(name) == examples()[name]


def test_the_page_shows_the_whole_of_both_envelopes() -> None:
    assert bytes_of(example("envelope")) == envelope()
    assert bytes_of(example("response envelope")) == response_envelope()


def test_the_binary_messages_of_the_page_and_their_zeros_are_what_is_in_the_envelopes() -> None:
    request = RequestOpener({CONFIG.key_id: KEY}.get)
    opened = b"".join(request.feed(envelope())) + request.end()
    response = sealer().response_opener()
    opened_response = b"".join(response.feed(response_envelope())) + response.end()
    for name, message in (("sealed request", opened), ("sealed response", opened_response)):
        block = example(name)
        [zeros, length] = re.findall(r"\d+", block.splitlines()[-1])
        assert message == bytes_of(block) + bytes(int(zeros))
        assert len(message) == int(length)


def test_the_key_configuration_of_the_page_is_read_as_it_was_meant() -> None:
    lines = dict(line.rsplit(None, 1) for line in example("sealing key").splitlines())
    config = parse_key_config(base64.b64decode(lines['"config"']))
    assert config == CONFIG
    assert lines["configuration"] == CONFIG.serialise().hex()


def _admitted(head: RequestHead, seal: bytes) -> Admission:
    portal = parse_origin(f"https://{ORIGIN.host.removeprefix('guestbook.')}")
    context = AccessContext(
        BOB.public.portal_id,
        Hosts(portal),
        {"guestbook": RuleMatcher(Rules((Rule(b"/peer", Access.PEER),)))},
        ContactList(
            (Contact(ADA.public.portal_id, "Ada", "https://ada.test"),), {"guestbook": "all"}
        ),
        frozenset({"sealed"}),
    )
    claimed: list[tuple[str, bytes, bytes | None]] = []
    fields = ((b"host", head.authority), *head.fields)
    request = Request(head.method, head.target, fields, seal)
    admission = admit(request, context, SENT, lambda *claim: claimed.append(claim))
    assert claimed == [(ADA.public.portal_id, NONCE, EPOCH)]
    return admission


def test_the_request_in_the_envelope_of_the_page_is_admitted() -> None:
    opener = RequestOpener({CONFIG.key_id: KEY}.get)
    message = MessageOpener(opener, RequestReader())
    head, *rest = [*message.feed(bytes_of(example("envelope"))), *message.end()]
    assert rest == [BODY, COMPLETE]
    assert isinstance(head, RequestHead)
    admission = _admitted(head, opener.enc)
    assert (admission.caller.id, admission.target.raw) == (ADA.public.portal_id, TARGET)
    assert admission.fields == (
        (b"content-type", b"application/json"),
        (b"accept", b"application/json"),
        (b"accept", b"text/plain"),
    )


def test_the_response_in_the_envelope_of_the_page_is_opened_by_who_asked() -> None:
    message = MessageOpener(sealer().response_opener(), ResponseReader(METHOD))
    events: list[Event] = message.feed(bytes_of(example("response envelope")))
    head, *rest = [*events, *message.end()]
    assert rest == [RESPONSE_BODY, COMPLETE]
    assert isinstance(head, ResponseHead)
    assert restored_after_travel(head.fields) == [
        (b"date", b"Tue, 14 Nov 2023 22:13:21 GMT"),
        (b"content-type", b"application/json"),
    ]
