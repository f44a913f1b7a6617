"""HTTP messages in the binary form that is sealed (RFC 9292): bytes to events, heads to bytes.

No socket and no clock. ``message`` says what a message is, ``grammar`` has the rules of its head,
``body`` what comes behind it; ``reader`` is the state machine over them, ``writer`` the way back,
with the padding that hides how long a message is. ``varint`` is how lengths are written. Messages
are written with indeterminate length and read with either.
"""
