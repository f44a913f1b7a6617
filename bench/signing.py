"""Signed requests, made before a turn: what each costs is the load's, not the subject's.

All that differs between two of them is the nonce, so the signature base is built once, by the
proxy's own core, and each request is that with another nonce and the signature over it.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.work import Case, content
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Message, signature_base
from proxy.core.signature.digest import content_digest
from proxy.core.signature.parameters import encode_nonce
from proxy.core.signature.request import Recipient, sign_request

_PLACE = bytes(32)
"""The nonce that every real one takes the place of."""


@dataclass(frozen=True)
class PeerSigner:
    """Signs as the Portal with ``key``, for an app of the Portal ``to``, found at ``authority``.

    ``epoch`` returns under which epoch calls to it are to be signed.
    """

    key: PrivateKey
    to: str
    app: str
    authority: str
    epoch: Callable[[], bytes | None]

    def signed(self, case: Case, count: int) -> Iterator[bytes]:
        """Return ``count`` requests, each with a nonce of its own; they hold for a minute."""
        body = content(case.body) if case.uploads else b""
        lines = [line.encode("ascii").split(b": ") for line in case.fields]
        message = Message(
            fields=(
                *((name, value) for name, value in lines),
                content_digest(hashlib.sha256(body).digest()),
            ),
            method=case.method.encode("ascii"),
            authority=self.authority,
            target=case.path.encode("ascii"),
            scheme="http",
        )
        now = int(time.time())
        to = Recipient(self.to, self.app, self.epoch())
        made = sign_request(self.key, message, to, nonce=_PLACE, now=now)
        fields = dict(made.message.fields)
        text = fields[b"signature-input"].partition(b"=")[2].decode("ascii")
        base = signature_base(made.components, text, made.message)
        head = [b"%b %b HTTP/1.1" % (message.method, message.target)]
        head += [b"host: " + self.authority.encode("ascii")]
        head += [name + b": " + value for name, value in made.message.fields]
        if case.uploads:
            head.append(b"content-length: %d" % len(body))
        whole = b"\r\n".join([*head, b"", b""]) + body
        return iter([self._renewed(base, whole, fields[b"signature"]) for _ in range(count)])

    def _renewed(self, base: bytes, whole: bytes, signature: bytes) -> bytes:
        nonce = secrets.token_bytes(len(_PLACE))
        place, name = (encode_nonce(one).encode("ascii") for one in (_PLACE, nonce))
        value = base64.b64encode(self.key.sign(base.replace(place, name, 1)))
        label = signature.partition(b"=")[0]
        return whole.replace(place, name, 1).replace(signature, label + b"=:" + value + b":", 1)
