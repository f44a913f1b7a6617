"""Something sealed to a Portal's key, and whether it still opens."""

import os

from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.state.sealing_keys import SealingKeyStore

SECRET = b"what only the key's holder reads"


def sealed_to(config: KeyConfig) -> bytes:
    """Return an envelope for the holder of the key of ``config``."""
    sealer = RequestSealer(config, ephemeral=os.urandom(32))
    return sealer.header + sealer.finish(SECRET)


def opens(store: SealingKeyStore, envelope: bytes) -> bool:
    """Tell whether a key of ``store`` opens the envelope."""
    opener = RequestOpener(store.find)
    try:
        return b"".join(opener.feed(envelope)) + opener.end() == SECRET
    except CannotOpen:
        return False
