"""Bob's Portal of the tables in ``tests/attacks`` as a process: its key, host and contacts."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.core.peering import BOB, CONTACTS, CONTEXT, ORIGIN, RULES
from tests.wire.harness.portals import Portal
from tests.wire.harness.troubled import Drifting

SEED = bytes(range(32))
"""Of Bob's key: ``tests.core.peering.BOB``."""


class BobsPortal(Drifting):
    """``CONTEXT`` of ``tests.core.peering``; its clock can be set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        key = Ed25519PrivateKey.from_private_bytes(SEED)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.state / "identity.key").write_bytes(pem)
        self.key = BOB
        domain = ORIGIN.host.partition(".")[2]
        file = self.config / "portal.yaml"
        replaced = ("id:", "domain:", "public_url:")
        lines = file.read_text("utf-8").splitlines()
        told = [line for line in lines if not line.startswith(replaced)]
        told += [
            f"id: {self.id}",
            f"domain: {domain}",
            f"public_url: https://{{short_id}}.{domain}:{ORIGIN.port}",
        ]
        file.write_text("\n".join(told), "utf-8")
        self.knows(*CONTACTS.peers, apps=CONTACTS.apps)

    @property
    def host(self) -> str:
        """The Portal's own authority."""
        return ORIGIN.authority

    def serve(self, upstream: int) -> Portal:
        """Start it, with its apps behind the port ``upstream``."""
        paths = {
            rule.prefix.decode(): {
                "access": rule.access.name.lower(),
                "headers": {name: template.text for name, template in rule.headers},
            }
            for rule in RULES.rules
        }
        for name in CONTEXT.apps:
            self.add_app(name, json.dumps({"v": "3.2", "port": 80, "paths": paths}), upstream)
        return self.start()
