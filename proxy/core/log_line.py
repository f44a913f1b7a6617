r"""The lines of the log: one for each request, and one for each other message.

Nothing that anybody sends can forge a line or colour a terminal: a line is visible ASCII and blanks
alone, in JSON as in text. Bytes of a request are shown as ``\xNN`` where they are anything else,
which they stay for whoever decodes the JSON. No field value, body, token, signature or query is in
a request's line; ``detail`` quotes what was refused, in as many bytes as the refusal does.
"""

import re
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.errors import Refusal

LONGEST = 500
"""Bytes of a path, and characters of a detail, that are shown; of anything else 200 bytes."""
_SHOWN = 200
_USERINFO = re.compile(rb"^(?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]+)?[^/\\]*@")
"""What stands before a host, with a scheme or, as CONNECT could have it, without one."""
_HIDDEN = re.compile(rb"[^!-\[\]-~]")
_PLAIN_PATH = re.compile(rb"(/[!#->@-\[\]-~]{0,%d})(?:\?|\Z)" % (LONGEST - 1))
"""A target whose path is shown as it is, in JSON too: it has no query, quote or backslash."""
_KEPT = 256
"""Texts that are kept to be used again."""
_quoted = encode_basestring_ascii
"""Of what was ``shown``: there is no DEL in it."""

_ANONYMOUS = ',"caller":"anonymous"'

ANSWERED = "answered"
REFUSED = "refused"
LEFT = "left"
BROKEN = "broken"
REVOKED = "revoked"


class RequestLine:
    """What is known of one request, for its line; whoever learns something notes it here.

    "", None and 0 stand for what isn't known, and are left out.
    """

    listener = ""
    outcome = ""
    """``ANSWERED``, or ``REFUSED`` with a ``code``; ``LEFT`` by the client before the end;
    ``BROKEN`` off when a response had begun; or ``REVOKED``, because its subject was removed,
    with a ``code`` where no response had begun."""
    status = 0
    """Of the response to the request itself, be it in an envelope."""
    code = ""
    detail = ""
    method = b""
    host = b""
    target = b""
    caller: Caller | None = None
    app = ""
    rule: bytes | None = None
    """The prefix of the rule that decided."""
    access = ""
    """What that rule asks of a caller; counted, and in no line."""
    mode = ""
    """``sealed``, ``signed`` or ``plain``."""
    peer = ""
    """The full ID of the contact that the app calls."""
    peer_name = ""
    peer_code = ""
    """The code with which the peer's proxy refused the call."""
    bytes_in = 0
    """Of the request's body, as it came over the connection: sealed where it came sealed."""
    bytes_out = 0
    seconds = 0.0
    first: float | None = None
    """Seconds until the response began."""
    request_id = ""
    client = ""
    """The client's address."""
    is_quiet = False
    """Whether nobody wants a line of it, as long as it is answered."""

    def refuse(self, refusal: Refusal) -> None:
        self.status, self.code = refusal.code.status, refusal.code.public
        self.detail = refusal.detail

    def __str__(self) -> str:
        return as_text(self)


def as_json(line: RequestLine, time: str, level: str) -> str:
    """Return a request's line as one JSON object; ``time`` and ``level`` are ours, and ASCII."""
    # One expression, and what many lines have in common is kept: it is made for every request.
    status, caller, first = line.status, line.caller, line.first
    told_status = f',"status":{status}' if status else ""
    why = _why(line) if line.code or line.detail else ""
    plain = _PLAIN_PATH.match(line.target)
    path = f'"{plain[1].decode()}"' if plain is not None else _quoted(shown_path(line.target))
    whose = _ANONYMOUS if caller is ANONYMOUS else _whose(caller)
    whom = _whom(line) if line.peer or line.peer_code else ""
    began = f',"first_ms":{first * 1000:.2f}' if first is not None else ""
    return (
        f'{{"time":"{time}","level":"{level}","listener":"{line.listener}"'
        f',"outcome":"{line.outcome}"{told_status}{why}'
        f'{_where(line.method[:_SHOWN], line.host[:_SHOWN])},"path":{path}'
        f"{whose}{_by_which(line.app, line.rule, line.mode)}{whom}"
        f',"bytes_in":{line.bytes_in},"bytes_out":{line.bytes_out}'
        f',"ms":{line.seconds * 1000:.2f}{began}'
        f',"request_id":"{line.request_id}","client":{quoted(line.client)}}}'
    )


@lru_cache(_KEPT)
def _where(method: bytes, host: bytes) -> str:
    return f',"method":{_quoted(shown(method))},"host":{_quoted(shown(host))}'


@lru_cache(_KEPT)
def _by_which(app: str, rule: bytes | None, mode: str) -> str:
    text = f',"app":"{app}"' if app else ""
    if rule is not None:
        text += f',"rule":{_quoted(shown(rule))}'
    return f'{text},"mode":"{mode}"' if mode else text


def _whose(caller: Caller | None) -> str:
    if caller is None:
        return ""
    name = f',"caller_id":"{caller.id}","caller_name":{quoted(caller.name)}' if caller.id else ""
    return f',"caller":"{caller.type}"{name}'


def _why(line: RequestLine) -> str:
    text = f',"code":"{line.code}"' if line.code else ""
    return f'{text},"detail":{quoted(line.detail[:LONGEST])}' if line.detail else text


def _whom(line: RequestLine) -> str:
    text = f',"peer":"{line.peer}","peer_name":{quoted(line.peer_name)}' if line.peer else ""
    return f'{text},"peer_code":"{line.peer_code}"' if line.peer_code else text


def as_text(line: RequestLine) -> str:
    """Return a request's line for a person, without time and level."""
    status = f" {line.status}" if line.status else ""
    refusal = f" {line.code}" if line.code else ""
    host, path = shown(line.host), shown_path(line.target)
    facts = [f"{line.listener} {line.outcome}{status}{refusal}: {shown(line.method)} {host} {path}"]
    if caller := line.caller:
        name = f" {caller.id} {quoted(caller.name)}" if caller.id else ""
        facts.append(f"from {caller.type}{name}")
    if line.app:
        facts.append(f"app={line.app}")
    if line.rule is not None:
        facts.append(f"rule={quoted(shown(line.rule))}")
    if line.mode:
        facts.append(f"mode={line.mode}")
    if line.peer:
        facts.append(f"peer={line.peer} {quoted(line.peer_name)}")
    if line.peer_code:
        facts.append(f"peer_code={line.peer_code}")
    facts.append(f"in={line.bytes_in} out={line.bytes_out} ms={line.seconds * 1000:.1f}")
    if line.first is not None:
        facts.append(f"first_ms={line.first * 1000:.1f}")
    facts.append(f"id={line.request_id} client={visible(line.client)}")
    if line.detail:
        facts.append(f"detail={quoted(line.detail[:LONGEST])}")
    return " ".join(facts)


def message_as_json(time: str, level: str, logger: str, message: str, trace: str = "") -> str:
    """Return another message as one JSON object; ``trace`` is an error's traceback."""
    traceback = f',"traceback":{quoted(trace)}' if trace else ""
    start = f'{{"time":"{time}","level":"{level}","logger":{quoted(logger)}'
    return f'{start},"message":{quoted(message)}{traceback}}}'


def message_as_text(message: str, trace: str = "") -> str:
    """Return another message for a person: on one line, a traceback on lines of its own behind it.

    Those are indented, so none of them looks like a line of the log.
    """
    lines = [" ".join(map(visible, message.splitlines()))]
    lines += [f"    {visible(line)}" for line in trace.splitlines()]
    return "\n".join(lines)


def shown_path(target: bytes) -> str:
    """Return the path of a request target, escaped and cut short.

    Without the query, and of an absolute target without what could be a token before its host. An
    ``@`` behind the host is a part of the path.
    """
    path = target.partition(b"?")[0]
    if not path.startswith(b"/"):
        path = _USERINFO.sub(b"", path, count=1)
    return shown(path, LONGEST)


def shown(data: bytes, longest: int = _SHOWN) -> str:
    r"""Return ``data`` as visible ASCII: every other byte as ``\xNN``."""
    return _HIDDEN.sub(_escaped, data[:longest]).decode("ascii")


def quoted(text: str) -> str:
    """Return any text as a JSON string of printable ASCII."""
    return encode_basestring_ascii(text).replace("\x7f", "\\u007f")


def visible(text: str) -> str:
    """Return any text as printable ASCII, every other character as JSON escapes it."""
    return text if text.isascii() and text.isprintable() else quoted(text)[1:-1]


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % match[0][0]
