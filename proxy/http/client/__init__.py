"""Requests to another server, over connections that are kept for the next one.

``engine`` takes a connection from ``pool``, which gets new ones with ``resolver`` and
``happy_eyeballs``, and runs an ``exchange`` on it: one request with its ``request_body`` and its
response, by callbacks. ``awaited_exchange`` makes coroutines of these. ``connection`` is bytes in
and out. ``server_history`` is what was seen of one server, ``look`` whether one is there at all.
"""
