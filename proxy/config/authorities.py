"""Files with certificates that TLS is to believe, of the owner's own choice."""

import re
import ssl
from pathlib import Path

from proxy.config.config_file import read_config_file
from proxy.core.errors import Invalid, Problem

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def read_authorities(path: Path) -> str:
    """Return the certificates in a file, as text in PEM and nothing else; raises ``Invalid``."""
    data = read_config_file(path)
    try:
        found = b"\n".join(_CERTIFICATE.findall(data)).decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError):
        what = "holds no certificates in PEM that can be read"
        raise Invalid([Problem(str(path), "", what)]) from None
    return found
