"""``health`` where all is as usual: in a few milliseconds, for those who ask every few seconds.

A proxy that runs has noted where it listens (``proxy.state.running_note``). Each listener is asked,
and at the owner's the proxy says how it is. Wherever anything is unusual (no note, an option that
isn't known here, a listener that doesn't answer, an answer that can't be read) ``quick_health``
returns None, and ``proxy.cli.health`` finds out all of it anew, and says what is wrong.

So nothing here may claim that all is well which that one wouldn't find well, and nothing large may
be imported: it would cost more than all the rest.
"""

import json
import os
import socket
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

TIMEOUT = 3.0
"""Seconds for all listeners together."""
FILE = "running.json"
SCHEMA = "schema.json"
VERSION = 3
"""Of the state folder, the last one that is known."""

_DEFAULT_FOLDER = "config"
_DEFAULT_STATE = "../state"
_LONGEST = 1 << 20
_OURS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@ ".decode())
"""What a path is made of that has one reading only, quoted or not."""
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound, mapped
_PATHS = {
    "public": "/core/public/meta/whoareyou",
    "apps": "/public/meta/whoareyou",
    "owner": "/readyz",
}
_OK, _NOT_READY = 200, 503
_INTERRUPTED = 130


class _Unusual(Exception):
    """Somebody else has to find out."""


_UNUSUAL = (
    _Unusual, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
)  # fmt: skip
"""A note or an answer may be anything."""


class Report(NamedTuple):
    """What the proxy says of itself."""

    status: str
    problems: list[str]


class Wanted(NamedTuple):
    """What a command line asks for."""

    folder: str
    as_json: bool


def quick_health(words: list[str], environ: Mapping[str, str]) -> int | None:
    """Carry out ``health`` and return its status; None where that isn't for here."""
    try:
        wanted = read_words(words, environ)
        note = _read_note(wanted.folder, environ)
        report = _read_report(_ask_all(note["listeners"]), note["id"])
        addresses = {each["name"]: str(each["address"]) for each in note["listeners"]}
        return _say(addresses, report, as_json=wanted.as_json)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except _UNUSUAL:
        return None


def read_words(words: list[str], environ: Mapping[str, str]) -> Wanted:
    """Read the command line as the command itself would; raises ``_Unusual`` for all else."""
    if any(name.startswith("PORTAL_HEALTH_") for name in environ):
        raise _Unusual
    folder, is_command, as_json = environ.get("PORTAL_CONFIG") or _DEFAULT_FOLDER, False, False
    rest = iter(words)
    for word in rest:
        if word == "--config":
            folder = next(rest, "")
        elif word.startswith("--config="):
            folder = word.partition("=")[2]
        elif word == "health" and not is_command:
            is_command = True
        elif word == "--json" and is_command:
            as_json = True
        else:
            raise _Unusual
    if not is_command or not folder:
        raise _Unusual
    return Wanted(folder, as_json)


def _read_note(folder: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the proxy noted that was started with this folder; raises."""
    portal_yaml = os.path.join(folder, "portal.yaml")  # noqa: PTH118 - pathlib is large
    state = environ.get("PORTAL_STATE") or state_in(_read(portal_yaml, of_ours=False))
    if state.startswith("~"):
        state = os.path.expanduser(state)  # noqa: PTH111 - as above
    state = os.path.join(folder, state)  # noqa: PTH118
    _refuse_unknown(f"{state}/{SCHEMA}")
    note = json.loads(_read(f"{state}/{FILE}", of_ours=True))
    names = [listener["name"] for listener in note["listeners"]]
    if note["v"] != "1" or note["folder"] != os.path.realpath(folder) or names != list(_PATHS):
        raise _Unusual
    found: dict[str, Any] = note
    return found


def _refuse_unknown(schema: str) -> None:
    """Raise unless the state is of this version, or doesn't say."""
    try:
        stated = json.loads(_read(schema, of_ours=True))["v"]
    except FileNotFoundError:
        return
    if stated != VERSION:
        raise _Unusual


def state_in(portal_yaml: bytes) -> str:
    """Return where portal.yaml says that the state is; raises where that isn't plain.

    A guess, and it may be wrong: then there is no note of this portal.yaml's proxy.
    """
    found = [line for line in portal_yaml.decode().splitlines() if line.startswith("state")]
    if not found:
        return _DEFAULT_STATE
    name, _, value = found[0].partition(" #")[0].partition(":")
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    if len(found) > 1 or name.strip() != "state" or not value.strip() or not _is_plain(value):
        raise _Unusual
    return value


def _is_plain(value: str) -> bool:
    return _OURS.issuperset(value.removeprefix("~"))


def _read(path: str, *, of_ours: bool) -> bytes:
    """Return what is in a file; ``of_ours`` tells that nobody else may have written it."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if of_ours else 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _Unusual
        is_foreign = status.st_uid not in (0, os.geteuid()) and os.geteuid() != 0
        if of_ours and (is_foreign or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            raise _Unusual
        data = os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)
    if len(data) == _LONGEST:
        raise _Unusual
    return data


# Asking.


def _ask_all(listeners: Iterable[Mapping[str, Any]]) -> bytes:
    """Ask each listener; return what the owner's says. Raises where one doesn't answer."""
    until = time.monotonic() + TIMEOUT
    asked: list[tuple[str, socket.socket]] = []
    try:
        for listener in listeners:
            opened = _connected(listener["bound"])
            asked.append((listener["name"], opened))
            if not listener["tls"]:
                _ask(opened, listener)
        body = b""
        for number, listener in enumerate(listeners):
            name, opened = asked[number]
            opened.settimeout(max(until - time.monotonic(), 0.001))
            if listener["tls"]:
                opened = _behind_tls(opened)
                asked[number] = name, opened
                _ask(opened, listener)
            body = _answer(opened, until, with_body=name == "owner")
        return body
    finally:
        for _, opened in asked:
            opened.close()


def _connected(bound: str | list[Any]) -> socket.socket:
    where: str | tuple[str, int]
    if isinstance(bound, str):
        opened, where = socket.socket(socket.AF_UNIX), bound
    else:
        host, port = bound
        opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        where = _LOCAL.get(host, host), port
    try:
        opened.settimeout(TIMEOUT)
        opened.connect(where)
    except BaseException:
        opened.close()
        raise
    return opened


def _behind_tls(opened: socket.socket) -> socket.socket:
    """Speak TLS, whatever the certificate: it is asked whether somebody answers."""
    import ssl  # noqa: PLC0415 - where it is needed alone

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(opened)


def _ask(opened: socket.socket, listener: Mapping[str, Any]) -> None:
    head = f"GET {_PATHS[listener['name']]} HTTP/1.1\r\nHost: {listener['host']}\r\n"
    opened.sendall(f"{head}Connection: close\r\n\r\n".encode("ascii"))


def _answer(opened: socket.socket, until: float, *, with_body: bool) -> bytes:
    """Return the body of a response, or nothing where its head will do; raises where it is odd."""
    data = b""
    while with_body or b"\r\n\r\n" not in data:
        opened.settimeout(max(until - time.monotonic(), 0.001))
        piece = opened.recv(65536)
        if not piece:
            break
        data += piece
        if len(data) > _LONGEST:
            raise _Unusual
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status = int(rest[:3])
    if not end or version not in ("http/1.0", "http/1.1"):
        raise _Unusual
    if with_body:
        is_whole = f"content-length: {len(body)}" in lines
        if not is_whole or status not in (_OK, _NOT_READY):
            raise _Unusual
    return body


def _read_report(body: bytes, portal_id: str) -> Report:
    """Read what the owner's listener answered; raises where it isn't this Portal's."""
    said = json.loads(body)
    status, problems = said["status"], said["problems"]
    if said["id"] != portal_id or type(status) is not str or type(problems) is not list:
        raise _Unusual
    if not all(type(problem) is str for problem in problems):
        raise _Unusual
    return Report(status, problems)


# Saying.


def _say(addresses: Mapping[str, str], report: Report, *, as_json: bool) -> int:
    """Say it, word for word as ``proxy.cli.health`` does, and return the exit status."""
    status, problems = report
    from_outside = (*addresses.values(), status, *problems)
    if not all(text.isprintable() for text in from_outside):
        raise _Unusual  # it has to be escaped
    is_well = status == "ok"
    if as_json:
        rows = [
            {"name": name, "address": address, "ok": True, "trouble": ""}
            for name, address in addresses.items()
        ]
        said = {"ok": is_well, "listeners": rows, "status": status, "problems": problems}
        out = [json.dumps(said, indent=2)]
    else:
        out = [f"The {name} listener at {address} answers." for name, address in addresses.items()]
    err = [] if is_well else [f"problem: {problem}" for problem in problems]
    if not is_well and not problems:
        err = ["The proxy says that it isn't well."]
    for stream, lines in ((sys.stdout, out), (sys.stderr, err)):
        if lines:
            _print(stream, lines)
    return 0 if is_well else 1


def _print(stream: Any, lines: list[str]) -> None:  # noqa: ANN401 - a text stream, or None
    text = "".join(f"{line}\n" for line in lines)
    if not text.isascii():
        stream.reconfigure(errors="backslashreplace")
    stream.write(text)
    stream.flush()
