"""``make soak``: a running Portal under mixed load, whose memory must come to rest.

``stage`` has the Portals and the app, ``load`` what is done to them, ``measures`` what they hold
then, and ``__main__`` runs it.
"""
