"""HTTP Message Signatures (RFC 9421) and the peering profile of them.

``base`` has the components that a signature covers and builds the bytes that are signed, for any
signature; ``parameters`` reads the fields that carry it, ``own_form`` those that our own signer
wrote, ``writer`` writes them; ``canonical`` is base64 in its one spelling; ``digest`` binds the
body (RFC 9530). ``request`` and ``response`` are two profiles of docs/protocol.md, each with its
signer beside its verifier. ``proxy.core.identity_document`` is the third.
"""
