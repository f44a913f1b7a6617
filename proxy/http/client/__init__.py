"""Requests to another server, over connections that are kept for the next one.

``engine`` takes a connection from ``pool``, which asks ``resolver`` and ``connect`` for new ones,
and runs an ``exchange`` on it: one request and its response. ``connection`` is bytes in and out;
``transport`` what its socket knows and asyncio doesn't tell. ``server`` is what was seen of one
server, ``look`` whether one is there at all.
"""
