"""``portal-proxy`` whose event loop stands still for good where somebody asks for ``/stuck``."""

import sys
import time

from proxy.__main__ import main
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.grammar import RequestHead
from proxy.http.downstream import Downstream
from proxy.inbound.app import Inbound
from proxy.inbound.relay import InboundRelay

_serve = Inbound.serve


def _stuck(
    self: Inbound, head: RequestHead, remote: RemotePeer, client: Downstream
) -> InboundRelay:
    if head.target == b"/stuck":
        print("it stands still", file=sys.stderr, flush=True)  # into the log, for the tests
    while head.target == b"/stuck":
        time.sleep(0.001)
    return _serve(self, head, remote, client)


Inbound.serve = _stuck  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
