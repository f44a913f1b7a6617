"""The public listener under somebody else's server, as plain ASGI: no socket of ours.

``request`` makes of what that server tells the request that our own listener would have told of, or
refuses; ``websocket`` makes frames of messages; ``lifespan`` opens and closes the Portal.
``portal_app`` is the ASGI app that is made of them, and ``middleware`` what others import.
"""
