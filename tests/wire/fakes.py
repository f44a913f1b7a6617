"""What the fake peer answers when it is honest or refuses, and the call that asks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.wire.harness.raw import Raw
from tests.wire.harness.signer import Asked, answer_bytes, signed_answer

if TYPE_CHECKING:
    from .conftest import World


SECRET = b"a body that must not be seen " * 2000


Responder = Callable[[Asked], bytes]


def ask(world: World, method: str = "GET") -> Raw:
    """Call the fake peer as the app ``wide``."""
    body = b"asked" if method == "POST" else None
    return world.ask(world.fake.key.public.portal_id, "/a?b", method=method, body=body)


def honest(world: World, asked: Asked, **changes: object) -> bytes:
    fields = signed_answer(world.fake.key, asked.question, body=SECRET)
    return answer_bytes(200, fields, SECRET, **changes)  # type: ignore[arg-type]


def problem(status: int, code: str, **members: object) -> tuple[bytes, tuple[bytes, bytes]]:
    """Return the body of a refusal, and the field that marks it as one."""
    body = json.dumps({"status": status, "code": code, **members}).encode()
    return body, (b"portal-refusal", code.encode())
