"""The state folder: which file of it is what. Only here are they named."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class State:
    """Everything of a Portal that must last and isn't configuration; private to its owner."""

    folder: Path

    @property
    def schema(self) -> Path:
        """Which version all of this is of."""
        return self.folder / "schema.json"

    @property
    def identity_key(self) -> Path:
        return self.folder / "identity.key"

    @property
    def contacts(self) -> Path:
        return self.folder / "contacts.yaml"

    @property
    def terminals(self) -> Path:
        return self.folder / "terminals.yaml"

    @property
    def pairing(self) -> Path:
        """The pairing codes that are open, and wrong tries. No backup needs it."""
        return self.folder / "pairing.yaml"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    @property
    def sealing(self) -> Path:
        """The folder of the sealing keys. No backup may hold it."""
        return self.folder / "sealing"

    @property
    def backup_note(self) -> Path:
        """When the identity was last backed up."""
        return self.folder / "backup.json"

    @property
    def running_note(self) -> Path:
        """Where the proxy listens that runs, or ran last. No backup needs it."""
        return self.folder / "running.json"

    @property
    def surplus_responses(self) -> Path:
        """When apps answered what nobody had asked. No backup needs it."""
        return self.folder / "surplus-responses.json"

    @property
    def acme(self) -> Path:
        """The folder of the certificate that the proxy got for itself. No backup needs it."""
        return self.folder / "acme"

    @property
    def acme_account(self) -> Path:
        return self.acme / "account.json"

    @property
    def acme_certificate(self) -> Path:
        """The certificate, those that vouch for it, and its key."""
        return self.acme / "certificate.pem"

    @property
    def acme_failure(self) -> Path:
        """Why the last try to get a certificate failed; missing where it didn't."""
        return self.acme / "failure.json"

    @property
    def owner_token(self) -> Path:
        """What the owner's commands show to the running proxy. No backup needs it."""
        return self.folder / "owner.token"

    @property
    def replays(self) -> Path:
        return self.folder / "replay.sqlite3"
