"""Apps of this Portal, on their way to the same app on a peer.

``app`` is the listener, ``entrance`` another one for a single app, and a ``relay`` each of their
requests: in their ``context`` it finds out which app calls whom. ``tunnels`` are connections on
which all that is asked is for one host. ``call`` is such a call, and ``signed`` and ``sealed`` are
the two ``transports`` for it, each with a ``running_call`` of its own; as it is sent, a sealed one
is a ``tried_call``. ``sealed_request``, ``sealed_body`` and ``opened_response`` are what is in the
envelopes, which an ``envelope_sender`` sends; ``carried_out`` is a call that a coroutine makes.
``identity_documents``, ``epochs``, ``reachability`` and ``destinations`` are about peers;
``peer_api`` tells apps of them.
"""
