"""What HTTP says in any version: ``headers``, ``origin``, ``forwarded``, and ``problem``.

Lines and bodies on a connection are in ``proxy.core.http1``.
"""
