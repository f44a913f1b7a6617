"""An app in this very process, called by ASGI instead of over a connection.

``engine`` is the upstream interface; ``scope`` is what the app is told of a request, ``exchange`` a
request and its response, with a ``request_body`` and a ``response_stream``; ``websocket`` is a
WebSocket. What the app gets is what it would get from a server of its own behind the proxy, and
what it says has to keep to its framing, like any app's response.
"""
