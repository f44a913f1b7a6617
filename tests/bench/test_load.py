"""The benchmark's load believes nothing, and signs what a Portal believes."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.endpoint import Endpoint
from bench.load import Wrong, measure
from bench.signing import PeerSigner
from bench.work import POST, SIZES, Case, content, size_of
from proxy.core.http.headers import values_of
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Message
from proxy.core.signature.parameters import find_signature
from proxy.core.signature.request import (
    TAG,
    Recipient,
    read_recipient,
    read_signature,
    refuse_forged,
    sender_key,
)

_ROOT = Path(__file__).resolve().parents[2]
_ONE = Case("one", "GET", "small", 1)


@contextmanager
def _server(response: bytes) -> Iterator[int]:
    """Answer each request on one connection with these bytes; close where there are none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            wire, _ = listener.accept()
            with wire:
                while wire.recv(65536):
                    if not response:
                        return
                    wire.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def _response(body: bytes, *, length: int | None = None, status: str = "200 OK") -> bytes:
    count = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {count}\r\n\r\n".encode() + body


_RIGHT = content("small")


@pytest.mark.parametrize(
    "response",
    [
        _response(_RIGHT),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"a\r\n" + _RIGHT[:10] + b"\r\n5a\r\n" + _RIGHT[10:] + b"\r\n0\r\n\r\n",
    ],
)
def test_right_answers_are_counted_with_the_cpu_between(response: bytes) -> None:
    readings = iter([1.0, 3.5])
    with _server(response) as port:
        sample = measure(Endpoint(port), _ONE, 0.05, lambda: next(readings))
    assert sample.requests >= 1
    assert sample.cpu == 2.5
    assert 0 < sample.p50 <= sample.elapsed


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (_response(_RIGHT, status="502 Bad Gateway"), "status 502"),
        (_response(_RIGHT[:-1]), "the body ended after 99 of 100"),
        (_response(_RIGHT[:-1] + b"x"), "the body is another one"),
        (_response(_RIGHT + b"x"), "the body is another one"),
        (_response(_RIGHT) * 2, "a response that nobody waits for"),
        (b"", "closed after 0 of 100"),
        (b"SSH-2.0\r\n\r\n", "not HTTP"),
    ],
)
def test_a_wrong_answer_ends_the_measurement(response: bytes, reason: str) -> None:
    with _server(response) as port, pytest.raises(Wrong, match=reason):
        measure(Endpoint(port), _ONE, 0.05, lambda: 0.0)


def test_bodies_are_the_same_in_every_process() -> None:
    line = "from bench.work import content; print(content('1mib')[:32].hex())"
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == content("1mib")[:32].hex()
    assert len(content("1mib")) == SIZES["1mib"]


class _Twice:
    """Signs for two uses alone."""

    def signed(self, case: Case, count: int) -> Iterator[bytes]:
        assert count > 2
        return iter([Endpoint(1).request(case)] * 2)


def test_a_turn_ends_when_the_signed_requests_are_used_up() -> None:
    with _server(_response(_RIGHT)) as port:
        sample = measure(Endpoint(port, signer=_Twice()), _ONE, 60, lambda: 0.0)
    assert sample.requests == 1  # the other one was for trying the connection


def test_a_body_is_named_after_its_size() -> None:
    assert [size_of(name) for name in ("small", "1mib", "4096b")] == [100, 1024 * 1024, 4096]
    assert [size_of(name) for name in ("b", "4096", "x4096b", "-1b", "²b")] == [None] * 5
    assert len(content("4096b")) == 4096


def test_each_request_signed_beforehand_is_good_and_has_a_nonce_of_its_own() -> None:
    key = PrivateKey(bytes(31) + b"1")
    to = PrivateKey(bytes(31) + b"2").public.portal_id
    authority, epoch = "pages.abcdef.portal.localhost:1", bytes(16)
    signer = PeerSigner(key, to, "pages", authority, lambda: epoch)
    nonces = set()
    for raw in signer.signed(POST, 3):
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        assert first == b"POST /take/small HTTP/1.1"
        fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        message = Message(fields, b"POST", signer.authority, b"/take/small", "http")
        read = read_signature(fields)
        refuse_forged(read, sender_key(read, fields), message)
        assert read_recipient(fields) == Recipient(to, "pages", epoch)
        assert values_of(fields, b"content-length") == [b"%d" % len(body)]
        assert body == content("small")
        nonces.add(find_signature(fields, TAG).parameters["nonce"])
    assert len(nonces) == 3
