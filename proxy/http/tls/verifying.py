"""Whose certificates a client believes: this machine's authorities, or others an owner names."""

import ssl


def believing(authorities: str = "", *, beside_system: bool = False) -> ssl.SSLContext:
    """Return what verifies a server by ``authorities`` (PEM), or by the system's where it is "".

    ``beside_system`` believes both. What is named may be the server's own certificate.
    """
    if authorities and not beside_system:
        context = ssl.create_default_context(cadata=authorities)
    else:
        context = ssl.create_default_context()
        if authorities:
            context.load_verify_locations(cadata=authorities)
    context.options |= ssl.OP_NO_RENEGOTIATION
    if authorities:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
