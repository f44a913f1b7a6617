"""``portal-proxy`` whose event loop stands still for good where somebody asks for ``/stuck``."""

import sys
import time
from typing import Any

from proxy.__main__ import main
from proxy.inbound.app import Inbound

_serve = Inbound.__call__


async def _stuck(self: Inbound, scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/stuck":
        print("it stands still", file=sys.stderr, flush=True)  # into the log, for the tests
    while scope["path"] == "/stuck":
        time.sleep(0.001)  # noqa: ASYNC251 - that is the fault
    await _serve(self, scope, receive, send)


Inbound.__call__ = _stuck  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
