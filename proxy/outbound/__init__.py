"""Apps of this Portal, on their way to the same app on a peer.

``app`` finds out which app calls whom; ``call`` is that call, and ``signed`` and ``sealed`` are the
two ``transports`` for it. ``identity_documents``, ``epochs``, ``reachability`` and ``destinations``
are about peers; ``peer_api`` tells apps of them.
"""
