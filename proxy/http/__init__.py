"""HTTP/1.1 between two sockets, on top of ``proxy.core.http1``; nothing here knows Portals.

``upstream`` is the interface through which requests go out. ``client`` implements it over
connections, ``in_process`` by calling an app; ``pumped_exchange`` gives callbacks to engines that
are awaited. ``server`` is the other end: a client's connection, as a ``downstream``, which is the
interface between a client and what serves it; ``asgi_client`` is the same for a client at another
server, and ``asgi_handler`` serves by an app. ``scope`` says how ASGI carries what it has no words
for; ``read_buffer``, ``tcp_keepalive``, ``lost_transport`` and ``futures`` serve both ends.
"""
