"""What HTTP says in any version.

``headers`` has which fields pass at all, ``override_fields`` those that no app gets, ``forwarded``
those that tell of the way, ``set_cookie`` and ``caching`` what a response may say.
``uri_reference`` reads references, ``link_field`` those of ``Link``, ``listener_reference`` those
that name our own listener; ``call_references`` has those of a peer's response lead back to it,
``redirect_to_itself`` finds those that don't. ``origin`` and ``percent_encoding`` read addresses
and paths; ``problem`` is what a refusal looks like, ``web_server`` what a web server says in a
Portal's place. Lines and bodies on a connection are in ``proxy.core.http1``.
"""
