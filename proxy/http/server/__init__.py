"""A client's connection, and its requests as ASGI.

``protocol`` is the connection: it feeds ``requests``, which make a ``cycle`` of each request, one
after the other. ``pacing`` and ``timeouts`` say how long a client may take; ``last_response`` is
what it gets where nothing can be served, and ``lingering`` how its connection ends.
"""
