"""A peer that is nothing but its responses, signed as a Portal signs them; it verifies nothing.

``python -m bench.servers.answerer PORT SEED``
"""

import asyncio
import hashlib
import sys
import time
from typing import cast

import httptools

from bench.endpoint import LOOPBACK
from bench.work import TAKEN, content, size_of
from proxy.core.http.headers import Field
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.parameters import find_signature, nonce_of
from proxy.core.signature.request import TAG
from proxy.core.signature.response import Question, sign_response

_BAD = b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n"
_TYPE = (b"content-type", b"text/plain")


class Answerer(asyncio.Protocol):
    """One connection; requests follow one another."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._fields: list[Field] = []
        self._body = bytearray()
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """Note what is to come, or asked for."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        name = self._url.rpartition(b"/")[2].decode("ascii", "replace")
        right = content(name) if size_of(name) is not None else b""
        method = self._parser.get_method()
        if method == b"POST" and self._body != right:
            self._transport.write(_BAD)
            return
        self._transport.write(self._signed(method, TAKEN if method == b"POST" else right))

    def _signed(self, method: bytes, body: bytes) -> bytes:
        signature = find_signature(self._fields, TAG)
        message = Message(
            fields=self._fields,
            method=method,
            authority=dict(self._fields)[b"host"].decode("ascii"),
            target=self._url,
            scheme="http",
        )
        question = Question(message, signature.components, nonce_of(signature))
        digest = content_digest(hashlib.sha256(body).digest())
        response = Message(fields=(_TYPE, digest), status=200)
        signed = sign_response(self._key, response, question, now=int(time.time()))
        lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body)]
        lines += [name + b": " + value for name, value in signed.message.fields]
        return b"\r\n".join([*lines, b"", b""]) + body


async def _serve(port: int, key: PrivateKey) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Answerer(key), LOOPBACK, port, backlog=2048, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), PrivateKey(bytes.fromhex(sys.argv[2]))))
