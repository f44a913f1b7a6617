"""The hop: our own machinery between two sockets, on top of ``proxy.core.http1``.

``connection`` is one connection to another server, ``exchange`` one request over it, ``pool`` the
idle ones, ``engine`` the ``Upstream`` made of them. ``listener`` and ``cycle`` are the way in: a
server's protocol, and one request of it as ASGI; ``inlet``, ``outlet`` and ``deadline``
hold the client to its time, under ``limits``.
"""
