"""WebSockets (RFC 6455) as far as an intermediary must know them, without a socket and a clock.

``handshake`` judges both halves of the opening handshake; ``frames`` looks at the frames that pass,
one direction each, and reads of them what their headers say. What is in them is nobody's business
here: no payload is unmasked, decompressed, joined or held.
"""
