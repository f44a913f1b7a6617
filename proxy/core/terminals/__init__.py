"""The owner's devices (terminals), without a socket, a file, a clock or chance.

``terminals`` is the list of them: whose token it is. ``cookie`` is how a browser shows its token,
``session`` who holds it and when a browser gets it again, ``request_origin`` which page made the
browser send it. ``device_token`` is the token of a device that is no browser. ``pairing_code``
makes a new terminal of a browser, and throttles guessing; ``pairing_page`` and ``pairing_form`` are
what a browser shows and sends for it, ``return_address`` where it goes then.
"""
