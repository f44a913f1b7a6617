"""The transports of one Portal, by the mode that they carry calls out in."""

from collections.abc import Mapping

from proxy.config.limits import Limits
from proxy.core.access.policy import Mode
from proxy.outbound.call import CallContext, CallTransport
from proxy.outbound.identity_documents import Directory
from proxy.outbound.sealed import SealedTransport
from proxy.outbound.signed import SignedTransport


def transports(
    context: CallContext, directory: Directory, limits: Limits
) -> Mapping[Mode, CallTransport]:
    """Return both; none of them falls back on the other."""
    return {
        "signed": SignedTransport(context, limits),
        "sealed": SealedTransport(context, directory),
    }
