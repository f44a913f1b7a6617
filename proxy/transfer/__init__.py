"""What the ways in and out share, for a request that is let through.

``relay`` is one request, from its head to its end, between a client and whoever answers; the ways
in and out say what is decided in it. ``body``, ``response`` and ``websocket``, in each
``websocket_direction``, are what moves, and ``client`` is whoever sent it.
``body_stages`` checks a body as it passes; ``coalescing`` holds the beginning of one back,
``held_body`` fills and sends a ``buffered_body``, which is kept whole, and ``spool`` is for those
whose length must be told first.
``limiters``, ``places`` and ``active_requests`` know what runs, ``shared_counts`` how much runs in
other workers, ``rates`` how often somebody asked; ``failures``, ``catch_all`` and
``starlette_errors`` what became of it; ``access_log`` writes that down, ``request_counts`` counts
it, ``last_calls`` is when each peer was last heard of, and ``shared_figures`` is what workers tell
each other of what is so just now.
``disk_thread`` is for what may wait for a disk.
Nothing here knows apps, peers or tokens.
"""
