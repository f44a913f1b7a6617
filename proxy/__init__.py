"""A peering proxy for Portals: apps call the same app on another Portal, authenticated by keys.

The tree, from the outside in: ``cli`` (commands), ``app`` (puts a running proxy together),
``inbound``, ``outbound`` and ``owner`` (one room for each listener), the rooms that do I/O
(``upstream``, ``contacts``, ``keyring``, ...), and ``core``: pure functions over bytes, where
every decision is made.
"""
