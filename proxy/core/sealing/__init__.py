"""Sealed messages: Chunked Oblivious HTTP (draft-ietf-ohai-chunked-ohttp-08) on HPKE (RFC 9180).

Bytes in, bytes out: no socket, no clock, and what has to be random is an argument. ``hpke`` rests
on ``kdf`` and ``aead``; ``key_config`` is what a sender has to know (RFC 9458); ``chunks`` cuts a
message up, ``stream`` seals and opens the pieces, ``request`` and ``response`` are its two
directions. ``offer`` says how others hear of a key, ``envelope`` how a sealed message shows over
HTTP, and ``message`` puts the layers together. Whatever is wrong with a message that arrived is one
exception, ``CannotOpen``, and nothing is handed on that wasn't authenticated.
"""
