"""What is left of a transport of asyncio's whose connection is gone.

Up to CPython 3.13 it keeps methods of its own, and so itself: it would stay until Python looks for
garbage, which is seldom.
"""

import asyncio

_OWN_METHODS = ("_read_ready_cb", "_write_ready")


def let_go_of_itself(transport: asyncio.BaseTransport) -> None:
    """Have ``transport`` hold none of its own methods; nothing is read or written any more."""
    own = getattr(transport, "__dict__", {})
    for name in _OWN_METHODS:
        if name in own:
            own[name] = None
