"""HTTP Message Signatures (RFC 9421) and the peering profile of them.

``components`` are what a signature covers, and ``base`` builds the bytes that are signed, for any
signature; ``parameters`` reads the fields that carry it, ``own_form`` those that our own signer
wrote; ``digest`` binds the body (RFC 9530); ``request``, ``response`` and ``document`` are the
three profiles of docs/protocol.md, each with its signer beside its verifier.
"""
