"""A client's connection, and its requests one after the other.

``protocol`` is the connection: it feeds ``requests``, which make an ``exchange`` of each request,
the client's end of it, which uses the connection as its ``response_writer``; ``unsent_heads`` wait
there for their bodies. ``pacing`` and ``timeouts``
say how long a client may take; ``last_response`` is what it gets where nothing can be served, and
``lingering`` how its connection ends.
"""
