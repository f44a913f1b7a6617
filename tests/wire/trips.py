"""The golden round trips: what an app sends, and what the app at the peer answers."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass

from tests.wire.harness.forwarding import forwarding
from tests.wire.harness.raw import Raw, chunked, request, response

Lines = tuple[tuple[str, str], ...]

GZIPPED = gzip.compress(b"postcards " * 100, mtime=0)
BIG = hashlib.sha512(b"seed").digest() * (20 * 1024 * 1024 // 64)


@dataclass(frozen=True)
class Trip:
    """One request of an app, and the response of the app at the peer; text is Latin-1."""

    name: str
    method: str = "GET"
    target: str = "/"
    fields: Lines = ()
    body: bytes | None = None
    chunks: tuple[bytes, ...] | None = None
    """The body in chunks instead."""
    status: int = 200
    back: Lines = ()
    answered: bytes | None = b"ok"
    """The response's body; None where the fields in ``back`` frame it."""
    answered_chunks: tuple[bytes, ...] | None = None

    @property
    def has_body(self) -> bool:
        return self.body is not None or self.chunks is not None

    @property
    def whole_body(self) -> bytes:
        return self.body if self.body is not None else b"".join(self.chunks or ())

    def request(self, target: str, *fields: tuple[str, str]) -> bytes:
        """Return the request's bytes with a target and fields for the listener."""
        if self.chunks is None:
            return request(self.method, target, *fields, *self.fields, body=self.body)
        framing = ("Transfer-Encoding", "chunked")
        return request(self.method, target, *fields, *self.fields, framing) + chunked(*self.chunks)

    def response(self) -> bytes:
        """Return the bytes that the app at the peer answers with."""
        if self.answered_chunks is None:
            return response(self.status, *self.back, body=self.answered)
        framing = ("Transfer-Encoding", "chunked")
        return response(self.status, *self.back, framing, body=None) + chunked(
            *self.answered_chunks
        )

    def arrived(self, got: Raw, host: str, sender: str) -> list[tuple[bytes, bytes]]:
        """Return the fields that the app at the peer must get, but for the ID that ``got`` has."""
        identity: Lines = (
            ("x-ptl-client-type", "peer"),
            ("x-ptl-client-id", sender),
            ("x-ptl-client-name", "Ada Gr%C3%B6%C3%9Fe"),
        )
        length = (("content-length", str(len(self.whole_body))),) if self.has_body else ()
        way = forwarding(host, got.one("x-request-id"))
        ends = lowered((*length, ("cdn-loop", host.partition(":")[0])))
        return lowered((("host", host), *self.fields, *identity)) + way + ends

    def came_back(self) -> list[tuple[bytes, bytes]]:
        """Return the fields that the calling app must get."""
        body = self.answered if self.answered_chunks is None else b"".join(self.answered_chunks)
        length = (("content-length", str(len(body))),) if body is not None else ()
        return lowered((*self.back, *length))


def lowered(lines: Lines) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.strip().encode("latin-1")) for name, value in lines]


TRIPS = [
    Trip("plain"),
    Trip("escapes stay as they are", target="/a%2Fb?b&c=%E4"),
    Trip("an empty query", target="/a?"),
    Trip("no query", target="/a"),
    Trip("two question marks", target="/a??b=/c?d"),
    Trip("lower-case escapes and unreserved ones", target="/%7euser/%41?%2e%2e=%7E"),
    Trip("an empty segment", target="//a//b"),
    Trip("parameters and every sub-delimiter", target="/a;v=1/b!$&'()*+,=:@~._-?/?:@!$'()*+,;=[]"),
    Trip("a query that holds URLs", target="/?to=https://a@b.example/../c%0d%0a"),
    Trip("8-bit values", fields=(("X-Name", "Gr\xf6\xdfe \xe4\x80\xff"),), back=(("X-L", "\xe4"),)),
    Trip(
        "repeated fields",
        fields=(("X-A", "1"), ("X-B", "between"), ("x-a", "2, 3"), ("X-A", "")),
        back=(("Set-Cookie", "a=1; Secure"), ("X-C", "x"), ("Set-Cookie", "b=2, c")),
    ),
    Trip(
        "empty values, inner blanks, every token character that passes, structured syntax",
        fields=(
            ("X-Empty", ""),
            ("X-Blanks", "a  b\tc"),
            ("X!#$%&'*+.^`|~1", "odd"),  # a name with "_" is kept from apps
            ("X-Quoted", '"a\\"b", (c d);e=?1, :AAE=:'),
        ),
        back=(("X-Empty", ""), ("X!#$%&'*+.^_`|~1", "odd"), ("X-Quoted", '"un, closed')),
    ),
    Trip(
        "what apps send",
        fields=(
            ("Authorization", "Bearer abc"),
            ("Cookie", "session=1; other=2"),
            ("Accept-Encoding", "gzip, br"),
            ("Range", "bytes=0-9"),
            ("If-None-Match", 'W/"1"'),
            ("User-Agent", "app/1"),
            ("Origin", "http://a.example"),
        ),
        status=206,
        back=(
            ("Server", "app"),
            ("Date", "Sun, 22 Nov 2026 14:00:00 GMT"),
            ("Content-Range", "bytes 0-1/2"),
            ("WWW-Authenticate", 'Basic realm="app"'),
            ("Cache-Control", "no-store"),
        ),
    ),
    Trip("an empty body", "POST", body=b""),
    Trip("a body", "POST", "/in?x=1", (("Content-Type", "text/plain"),), body=b"h\xc3\xa4\r\n\r\n"),
    Trip("a body in chunks", "POST", chunks=(b"one", b"", b"two" * 5000)[::2]),
    Trip("an empty body in chunks", "PUT", chunks=()),
    Trip("20 MiB there", "PUT", body=BIG),
    Trip("20 MiB back", answered=BIG),
    Trip("a response in chunks", answered=None, answered_chunks=(b"one", b"two" * 9000)),
    Trip("a compressed response", back=(("Content-Encoding", "gzip"),), answered=GZIPPED),
    Trip("a compressed request", "POST", fields=(("Content-Encoding", "gzip"),), body=GZIPPED),
    Trip("compressed and wrong", back=(("Content-Encoding", "br, gzip"),), answered=b"no gzip"),
    Trip(
        "HEAD keeps the length",
        "HEAD",
        back=(("Content-Type", "a/b"), ("Content-Length", "123456")),
        answered=None,
    ),
    Trip("204", "DELETE", status=204, back=(("ETag", '"1"'),), answered=None),
    Trip("304", status=304, back=(("ETag", '"1"'), ("Content-Length", "77")), answered=None),
    Trip("PATCH", "PATCH", body=b'{"a":1}', fields=(("Content-Type", "application/json"),)),
    Trip("PROPFIND", "PROPFIND", fields=(("Depth", "1"),), body=b"<propfind/>", status=207),
    Trip("OPTIONS", "OPTIONS", back=(("Allow", "GET, OPTIONS"),)),
    Trip("a method nobody knows", "BREW-It", body=b"milk", status=418),
    Trip("DELETE with a body", "DELETE", body=b"which"),
    Trip("a GET with a body", "GET", body=b"query"),
    Trip("299", status=299),
    Trip(
        "a redirect is the app's to follow", status=302, back=(("Location", "http://x.example/"),)
    ),
    Trip("the app's own 401", status=401, back=(("WWW-Authenticate", "Basic"),)),
    Trip("the app's own problem", status=502, back=(("Content-Type", "application/problem+json"),)),
    Trip(
        "the apps' own signatures",
        "POST",
        fields=(
            ("Signature-Input", 'sig1=("date");keyid="a";tag="x"'),
            ("Signature", "sig1=:AAAA:"),
            ("Content-Digest", "sha-256=:not even base64:"),
            ("Digest", "SHA-256=abc"),
        ),
        body=b"signed by the app",
        back=(
            ("Signature", "s=:BBBB:"),
            ("Signature-Input", 's=();created=1;tag="portal-peering-response"'),
            ("Content-Digest", "md5=:AAAA:"),
        ),
    ),
]
