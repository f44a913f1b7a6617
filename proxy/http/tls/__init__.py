"""TLS between a socket and a protocol: what asyncio's own holds too much for, and ends too soon.

``stream`` is TLS itself, bytes in and bytes out. ``opening`` makes a ``transport`` of a socket by a
handshake; ``handshakes`` bounds how many run at once. ``verifying`` says whose certificates
are believed. docs/decisions/0027-tls.md says why.
"""
