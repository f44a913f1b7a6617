"""HTTP/1.1 messages as bytes (RFC 9112): what arrives becomes events, what leaves becomes bytes.

No socket and no clock. ``grammar`` knows lines and fields, ``framing`` where a body ends, ``body``
cuts it into pieces, ``reader`` is the state machine over both, ``writer`` the way back. A message
has one meaning or none: what two parsers could read in two ways is an error, never a guess.
``smuggled_request`` tells whether a body could be a request to a server that doesn't read bodies.
"""
