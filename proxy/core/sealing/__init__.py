"""Sealed messages: Chunked Oblivious HTTP (draft-ietf-ohai-chunked-ohttp-08) on HPKE (RFC 9180).

Bytes in, bytes out: no socket, no clock, and what has to be random is an argument. ``hpke`` rests
on ``kdf`` and ``aead``; ``key_config`` is what a sender has to know (RFC 9458); ``chunks`` cuts a
message up, ``stream`` seals and opens the pieces, ``request`` and ``response`` are its two
directions. ``rotation`` says how long a key lives, ``offer`` how others hear of it. Whatever is
wrong with a message that arrived is one exception, ``CannotOpen``, and nothing leaves this room
that wasn't authenticated.
"""
