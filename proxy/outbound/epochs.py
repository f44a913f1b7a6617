"""Under which epoch each peer's replay store stands, as the peers themselves told it.

In memory alone: whoever knows none is told it with the first refusal.
"""

from proxy.core.identity_document import Document


class Epochs:
    """The last epoch that each peer told, by its full ID."""

    def __init__(self) -> None:
        self._told: dict[str, bytes] = {}
        self._documents: dict[str, Document] = {}

    def of(self, portal_id: str) -> bytes | None:
        """Return the epoch to sign under for the peer; None where it told none."""
        return self._told.get(portal_id)

    def learn(self, portal_id: str, epoch: bytes | None) -> None:
        """Note what the peer told in a proven refusal."""
        if epoch is not None:
            self._told[portal_id] = epoch

    def learn_from(self, document: Document) -> None:
        """Note what the peer's document tells, once: a refusal that came later knows better."""
        if self._documents.get(document.portal_id) is not document:
            self._documents[document.portal_id] = document
            self.learn(document.portal_id, document.epoch)
