"""The request that an app gets: the mark of its way, its Host, its body and who may follow it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.config.apps import App
from proxy.config.limits import DEFAULT_LIMITS
from proxy.config.timeouts import Timeouts
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.access.target import parse_target
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request
from proxy.core.http.forwarded import ForwardedChain
from proxy.core.http.headers import values_of
from proxy.core.http.origin import Origin
from proxy.core.http1.framing import IN_CHUNKS
from proxy.http.upstream import Destination
from proxy.inbound.app_request import EMPTY, AppRequests
from proxy.inbound.dropped_names import DroppedNamesLog

if TYPE_CHECKING:
    from proxy.core.http.headers import Field
    from proxy.http.upstream import UpstreamRequest

_ORIGIN = Origin("https", "ada.example", 443)
_HOST = b"site.ada.example"


def _made(
    *fields: Field,
    caller: Caller = ANONYMOUS,
    framing: Field | None = None,
    told: bytes = b"",
    **settings: Any,
) -> UpstreamRequest:
    config = SimpleNamespace(limits=DEFAULT_LIMITS, timeouts=Timeouts())
    portal = SimpleNamespace(hosts=Hosts(_ORIGIN, ("alias.example",)), config=config)
    rule = SimpleNamespace(headers=())
    app = App("site", cast(Any, ()), Destination(Origin("http", "127.0.0.1", 80)), **settings)
    target = parse_target(b"/a%2Fb?")
    admission = Admission(caller, "site", cast(Any, rule), target, fields, None, {})
    request = Request(b"PUT", target.raw, ((b"host", _HOST), *fields))
    chain = ForwardedChain(("192.0.2.1",), "https", "id", told)
    requests = AppRequests(cast(Any, portal), DroppedNamesLog())
    return requests.streamed(request, admission, app, chain, framing)


def test_it_is_what_was_asked_with_our_word_and_a_mark_at_the_end() -> None:
    made = _made((b"x-a", b"1"))
    assert (made.method, made.target) == (b"PUT", b"/a%2Fb?")
    assert made.fields[:2] == ((b"host", _HOST), (b"x-a", b"1"))
    assert values_of(made.fields, b"x-ptl-client-type") == [b"anonymous"]
    assert made.fields[-1] == (b"cdn-loop", _HOST)


@pytest.mark.parametrize(
    ("mark", "is_refused"),
    [
        (_HOST, True),
        (b"cdn.example, Site.Ada.Example", True),
        (_HOST + b"; v=1, other", True),
        (b"cdn.example", False),
        (b"other." + _HOST, False),
        (_HOST + b".example", False),
        (b"x; of=" + _HOST, False),
    ],
)
def test_what_came_through_the_app_already_is_refused(mark: bytes, *, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(Refusal) as refused:
            _made((b"cdn-loop", mark))
        assert refused.value.code is Code.LOOP_DETECTED
    else:
        made = _made((b"cdn-loop", mark))
        assert values_of(made.fields, b"cdn-loop") == [mark, _HOST]


@pytest.mark.parametrize(
    ("told", "asked_for"),
    [
        (b"", _HOST),
        (b"site.alias.example", b"site.alias.example"),
        (b"other.ada.example", _HOST),
        (b"evil.example", _HOST),
    ],
)
@pytest.mark.parametrize("own", [None, b"app.internal"])
def test_the_host_that_is_told_leads_to_the_app(
    told: bytes, asked_for: bytes, own: bytes | None
) -> None:
    made = _made(told=told, host=own)
    assert values_of(made.fields, b"host") == [own or _HOST]
    assert values_of(made.fields, b"x-forwarded-host") == [asked_for]


@pytest.mark.parametrize(
    ("caller", "name"),
    [
        (ANONYMOUS, "anonymous"),
        (Caller("terminal", "t1"), "terminal"),
        (Caller("peer", "p1"), "p1"),
        (Caller("peer", "p2"), "p2"),
    ],
)
def test_a_peer_shares_no_connection_that_carried_a_body(caller: Caller, name: str) -> None:
    assert (_made(caller=caller)).caller == name


@pytest.mark.parametrize(
    ("framing", "streams"),
    [(None, False), (EMPTY, False), ((b"content-length", b"1"), True), (IN_CHUNKS, True)],
)
def test_a_body_streams_where_there_is_one(framing: Field | None, *, streams: bool) -> None:
    made = _made(framing=framing)
    assert made.body is None
    assert made.streams is streams
    if framing is not None:
        assert values_of(made.fields, framing[0]) == [framing[1]]


def test_who_waits_for_an_invitation_gets_the_app_s() -> None:
    expects = (b"expect", b"100-continue")
    assert values_of(_made(expects, framing=IN_CHUNKS).fields, b"expect")[-1] == expects[1]
    assert (b"expect", b"100-continue") not in _made(framing=IN_CHUNKS).fields
