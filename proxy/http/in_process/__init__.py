"""An app in this very process, called by ASGI: what ``proxy.http.in_process.engine`` is made of.

``scope`` is what the app is told of a request, ``exchange`` a request and its answer, ``socket`` a
WebSocket. What the app gets is what it would get from a server of its own behind the proxy, and
what it says is held to its framing like any app's answer.
"""
