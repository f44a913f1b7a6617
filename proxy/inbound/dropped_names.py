"""What the log tells of an app once: fields that were kept from it, its cookies that don't go on.

Names are chosen by whoever sends them. So no more than so many are remembered, each cut short:
strangers fill no memory and no log, and leave room for what the owner's devices and peers send.
"""

import logging

from proxy.core.log_line import shown

MOST = 16
"""Names of one app and one kind of sender that are told and remembered."""

_log = logging.getLogger("proxy.fields")
_LONGEST = 80


class DroppedNamesLog:
    """Warns of each name once in the life of this process."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str, str], set[bytes]] = {}

    def tell(self, app: str, sender: str, message: str, name: bytes) -> None:
        """Write ``message`` with ``app`` and ``name`` in it, unless that was told.

        ``sender`` is the kind of who sent it; ``message`` one of a few fixed ones.
        """
        told = self._told.setdefault((app, sender, message), set())
        if len(told) >= MOST or (name := name[:_LONGEST]) in told:
            return
        told.add(name)
        last = "; further names aren't told" if len(told) == MOST else ""
        _log.warning("%s: " + message + "%s", app, shown(name), last)
