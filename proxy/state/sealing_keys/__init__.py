"""The sealing keys on disk.

``format`` is one key's file, ``folder`` what there is, ``store`` what becomes of it.

When a key is made, offered and deleted is ``proxy.core.sealing_rotation``'s to say.
"""

from proxy.state.sealing_keys.store import SealingKeyStore

__all__ = ["SealingKeyStore"]
