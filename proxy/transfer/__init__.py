"""What the ways in and out share, for a request that is let through.

``client`` is whoever sent it; ``body``, ``response``, ``websocket`` and ``opened_message`` are what
moves; ``coalescing`` holds the beginning of a body back, ``buffered_body`` keeps one whole,
``held_body`` fills and sends it by callbacks, and ``spool`` is for those whose length must be told
first.
``limiters``, ``places`` and ``active_requests`` know what runs, ``shared_counts`` how much runs in
other workers; ``failures``, ``catch_all`` and ``starlette_errors`` what became of it;
``access_log`` writes that down. ``disk_thread`` is for what may wait for a disk, and
``websocket_relay`` is ``websocket`` by callbacks. Nothing here knows apps, peers or tokens.
"""
