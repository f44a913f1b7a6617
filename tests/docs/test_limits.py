"""The documents tell the limits and times that the code has."""

import re
from pathlib import Path

import pytest

from proxy.config.certificate import SOON
from proxy.config.limits import DEFAULT_LIMITS, LimitsFile
from proxy.config.timeouts import DEFAULT_TIMEOUTS, GRACE
from proxy.core.access.target import MAX_PATH
from proxy.core.binary_http.reader import MAX_INFORMATIONAL
from proxy.core.binary_http.writer import SMALLEST_PADDED, padding
from proxy.core.http1.body import MAX_CHUNK_LINE, MAX_CHUNK_OVERHEAD, MAX_TRAILERS
from proxy.core.http1.grammar import MAX_FIELDS, MAX_HEAD
from proxy.core.identity_document import BACKDATED, MAX_BYTES
from proxy.core.identity_document import LIFETIME as DOCUMENT_LIFETIME
from proxy.core.rates import CELLS
from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.core.sealing.envelope import PROBLEM_LIMIT
from proxy.core.sealing.offer import ASSUMED_CHUNK, MOST_KEYS
from proxy.core.sealing_rotation import DEFAULT_ROTATION, MARGIN
from proxy.core.signature.request import LIFETIME, MAX_PROOF, SKEW
from proxy.core.text_files.schema import validate
from proxy.core.text_files.size import show_size
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.http import tcp_keepalive
from proxy.http.client import pool, resolver
from proxy.http.read_buffer import LARGEST
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.http.upstream import UpstreamTimeouts
from proxy.inbound.envelope import ENVELOPE_FACTOR, ENVELOPE_MORE
from proxy.outbound.identity_documents import PATIENCE
from proxy.server.follower import TICK
from proxy.server.listener import HANDSHAKES_AT_ONCE
from proxy.server.sockets import BACKLOG
from proxy.transfer import places
from proxy.transfer.body import BODY_WAIT, COALESCING, REPLAYABLE, SMALL
from proxy.transfer.buffered_body import MEMORY
from proxy.transfer.websocket import WebSocketLimits
from tests.docs.page import page

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_KIB = 1024
_LIMITS = ConnectionTimeouts()
_TIMES = UpstreamTimeouts()
_CLIENTS = DEFAULT_TIMEOUTS
_SOCKETS = WebSocketLimits()
_MOST = DEFAULT_LIMITS

_PACE = f"{_LIMITS.rate} bytes a second in each stretch of {_LIMITS.window:g} s"
_MIB = _KIB * _KIB

_SHOWN = {
    "head of a request": f"{MAX_HEAD // _KIB} KiB, in **{_CLIENTS.head:g} s**",
    "fields, and trailer": f"{MAX_FIELDS} each; trailers {MAX_TRAILERS // _KIB} KiB",
    "path": f"{MAX_PATH} bytes",
    "between two requests": f"**{_CLIENTS.idle:g} s**",
    "a TLS handshake": f"**{_CLIENTS.head:g} s**; {HANDSHAKES_AT_ONCE} of one address",
    "a new client": f"{_LIMITS.last_call:g} s",
    "connections that wait": f"{BACKLOG} for each listener",
    "a body that comes in": (
        f"a pause of **{_CLIENTS.client_body:g} s**, of **{_CLIENTS.client_send:g} s**"
    ),
    "the same where connections": _PACE,
    "the rest of a refused": (
        f"{_LIMITS.unread // _KIB} KiB, to keep the connection; else it is closed. It is read past "
        f"for {_LIMITS.linger_most:g} s and {_LIMITS.linger_bytes // _MIB} MiB at most, as long as "
        f"something comes every {_LIMITS.linger:g} s, so that the client gets to read its response"
        "; "
        f"for {_LIMITS.ending:g} s"
    ),
    "first lines of a body's chunks": (
        f"{MAX_CHUNK_LINE // _KIB} KiB each; {MAX_CHUNK_OVERHEAD // _KIB} KiB in all"
    ),
    "a request's body": f"**{show_size(_MOST.body)}**; streamed, {_LIMITS.buffered // _KIB} KiB",
    "a body that is signed": f"**{show_size(_MOST.held_body)}** each, held; above {MEMORY // _KIB}",
    "an envelope around": (
        f"{ENVELOPE_FACTOR} times **{show_size(_MOST.body)}**, and {show_size(ENVELOPE_MORE)}"
    ),
    "connections at each": f"**{_MOST.connections}**; **{_MOST.connections_per_address}**",
    "requests and WebSockets at": f"**{_MOST.requests_per_peer}**; **{_MOST.requests_per_app}**",
    "an app's own calls at": f"**{_MOST.requests_per_peer}**; **{_MOST.requests_per_app}**",
    "a connection that is one too": f"503, and {_LIMITS.ending:g} s for its TLS handshake; "
    f"then its body is read past like a refused one's. For {_MOST.refused_at_once} at a time",
    "a sealed body, and": f"chunks of {LARGEST_CHUNK:,} bytes",
    "a sealed message": f"to {SMALLEST_PADDED} bytes at least",
    f"a sealed body of known length, its first {SMALL // _KIB} KiB": f"{COALESCING * 1000:g} ms",
    "a sealed request that tells no length": f"{BODY_WAIT:g} s",
    "a sealed call's body that is remembered": f"{REPLAYABLE // _KIB} KiB, {LIFETIME} s",
    "connecting to an app": f"**{_TIMES.connect:g} s**",
    "names that are looked up": f"{resolver.MOST}; ",
    "an app, a peer that sends": f"**{_CLIENTS.app_answer:g} s**, **{_CLIENTS.peer_answer:g} s**",
    "a response from an app": f"{LARGEST // _KIB} KiB held",
    "an idle connection": f"{pool.IDLE_SECONDS:g} s; {pool.RESERVED_CONNECTIONS} for each",
    "a message on a WebSocket": f"**{show_size(_SOCKETS.message)}** over all its frames",
    "a WebSocket on which nobody": f"hasn't answered for {tcp_keepalive.PATIENCE} s",
    "a side of a WebSocket": (
        f"**{_CLIENTS.client_send:g} s** for a client, **{_CLIENTS.app_answer:g} s** for an app"
    ),
    "the other side of a WebSocket": f"{_SOCKETS.ending:g} s; {_SOCKETS.closing:g} s where",
    "running requests when": f"**{GRACE:g} s**",
}


_SPECIFIED = (
    f"a list of at most {MOST_KEYS} objects",
    f"a number, at least {ASSUMED_CHUNK}: bytes of plaintext",
    f"chunks of {ASSUMED_CHUNK:,} bytes are taken",
    f"the body is at most {MAX_BYTES:,} bytes",
    f"`expires` at most {DOCUMENT_LIFETIME} s after `created`",
    f"`until` rotation + {DOCUMENT_LIFETIME} s after it was made",
    f"this one does {MARGIN} s after its `until`",
    f"responses {LARGEST_CHUNK:,} bytes, which every sender MUST take",
    f"announces {LARGEST_CHUNK:,} and seals no larger ones",
    f"Up to {MAX_INFORMATIONAL} informational responses",
    f"{MAX_HEAD:,} bytes and {MAX_FIELDS} fields at most",
    f"becomes max({SMALLEST_PADDED}, *P*) bytes long",
    f"up to {COALESCING * 1000:g} ms for the first {SMALL // _KIB} KiB of a body",
    f"the message ends within {BODY_WAIT:g} s of its head",
    f"({PROBLEM_LIMIT:,} bytes of it are read)",
    f"within {LIFETIME} s of the first",
    f"`signature-input` and `signature` are at most {MAX_PROOF:,} bytes each",
    f"the first {REPLAYABLE:,} bytes",
    f"`created` ≤ now + {SKEW} and `expires` ≥ now \N{MINUS SIGN} {SKEW}",
)


def _rows() -> list[str]:
    page = (_DOCS / "operating.md").read_text("utf-8")
    section = page.split("\n## Limits and times\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| (.+) \|$", section, re.MULTILINE)


@pytest.mark.parametrize("what", _SHOWN)
def test_the_guide_for_owners_has_each_limit_as_it_is(what: str) -> None:
    [row] = [row for row in _rows() if row.startswith(what)]
    assert _SHOWN[what] in row


def test_the_rates_to_begin_with_are_good_settings() -> None:
    guide = (_DOCS / "operating.md").read_text("utf-8")
    block = re.search(r"<!-- rates -->\n```text\nlimits:\n(.+?)\n```", guide, re.DOTALL)
    assert block
    settings = parse_yaml("operating.md", block[1].encode())
    rates = validate("operating.md", LimitsFile, settings).values()
    assert rates.rate_per_client
    assert rates.rate_per_peer
    assert rates.rate_per_app
    takes = 3 * CELLS * 8 // _MIB
    assert f"To count takes {takes} MiB at most" in guide


def test_the_map_tells_how_often_files_are_looked_at() -> None:
    assert f"every {TICK:g} s" in (_DOCS / "architecture.md").read_text("utf-8")


def test_what_holds_where_the_owner_says_nothing_is_what_holds_without_an_owner() -> None:
    times, silence = DEFAULT_TIMEOUTS, _TIMES.read
    assert (times.head, times.idle) == (_LIMITS.head, _LIMITS.idle)
    assert (times.client_body, times.client_send) == (_LIMITS.body, _LIMITS.send)
    assert times.app_connect == times.peer_connect == _TIMES.connect
    assert times.app_answer == silence < times.peer_answer
    text = (_DOCS / "operating.md").read_text("utf-8")
    for row in (
        f"| `timeouts.head` | `{times.head:g}s` |",
        f"| `timeouts.idle` | `{times.idle:g}s` |",
        f"| `timeouts.client_body` | `{times.client_body:g}s` |",
        f"| `timeouts.client_send` | `{times.client_send:g}s` |",
        f"| `timeouts.app_connect` | `{times.app_connect:g}s` |",
        f"| `timeouts.app_answer` | `{times.app_answer:g}s` |",
        f"`timeouts.peer_connect` | `{times.peer_connect:g}s` |",
        f"`timeouts.peer_answer` | `{times.peer_answer:g}s` |",
        f"| `grace` | `{GRACE:g}s` |",
        f"| `limits.body` | `{show_size(_MOST.body)}` |",
        f"| `limits.held_body` | `{show_size(_MOST.held_body)}` |",
        f"| `limits.connections` | `{_MOST.connections}` |",
        f"| `limits.connections_per_address` | `{_MOST.connections_per_address}` |",
        f"| `limits.requests_per_peer` | `{_MOST.requests_per_peer}` |",
        f"| `limits.requests_per_app` | `{_MOST.requests_per_app}` |",
        f"| `limits.websocket_message` | `{show_size(_MOST.websocket_message)}` |",
    ):
        assert row in text
    assert f"is waited for {PATIENCE:g} s at most" in text
    most = _MOST.requests_per_app
    assert (places.SHARE, places.KEPT) == (4, 8)
    kept, share = f"({most // places.KEPT} each of {most};", f"({most // places.SHARE}) at most"
    assert kept in " ".join(text.split())
    assert share in " ".join(text.split())
    assert f"expires within {SOON // 86_400} days" in text


def test_sending_and_waiting_have_one_limit_as_the_guide_says() -> None:
    assert _TIMES.read == _TIMES.write


@pytest.mark.parametrize("phrase", _SPECIFIED)
def test_the_specification_has_each_number_as_it_is(phrase: str) -> None:
    assert phrase in " ".join(page().split())


def test_identity_documents_are_dated_back_by_half_an_hour_and_keys_made_daily() -> None:
    text = " ".join(page().split())
    assert BACKDATED == DOCUMENT_LIFETIME - BACKDATED == 30 * 60
    assert "half an hour ago and `expires` half an hour ahead" in text
    assert DEFAULT_ROTATION == 24 * 60 * 60
    assert "each *rotation* (a day, unless its owner sets another time)" in text


def test_padding_costs_what_the_guide_for_owners_says() -> None:
    assert max(padding(length) / length for length in range(SMALLEST_PADDED, 1 << 17)) < 0.07
    assert all(length + padding(length) == SMALLEST_PADDED for length in range(SMALLEST_PADDED + 1))


def test_the_threat_model_shows_what_sizes_tell() -> None:
    text = (_DOCS / "threat-model.md").read_text("utf-8")
    section = text.split("\n### An observer of a sealed call\n", 1)[1].split("\n### ", 1)[0]
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", section, re.MULTILINE)
    assert len(rows) > 3
    for shown in rows:
        first, last, step = (int(number.replace(",", "")) for number in shown)
        padded = {length + padding(length) for length in range(first, last + 1)}
        assert padded == set(range(-(-first // step) * step, last + 1, step))


def test_a_websocket_that_is_closed_is_over_before_the_proxy_is() -> None:
    assert _SOCKETS.closing + _LIMITS.ending < GRACE
