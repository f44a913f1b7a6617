"""WebSockets (RFC 6455) as far as an intermediary must know them, without a socket and a clock.

``handshake`` checks both halves of the opening handshake; ``frames`` looks at the frames that pass,
one direction each, and reads their headers: no payload is unmasked, decompressed, joined or held.
``messages`` does that, for ends that are no socket.
"""
