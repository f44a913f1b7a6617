"""A Freeshard-like chain as a subject: two hops, the second behind a web server that asks it."""

from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bench import nginx
from bench.crew import Crew
from bench.endpoint import Endpoint
from bench.subjects import Apps, Running, Start

_BITS = 4096


def chain(manner: str) -> Start:
    """Return how to start the chain in one of the manners of ``bench.servers.freeshard``."""
    return partial(_start, manner)


def _start(manner: str, crew: Crew, apps: Apps) -> Running:
    keys = _keys(crew.folder / "freeshard")
    auth = crew.start_python("freeshard", "auth", str(keys), manner)
    front = nginx.start_front(crew, apps.pages.port, auth.port)
    caller = crew.start_python("freeshard", "caller", str(keys), manner, str(front.port))
    endpoint = Endpoint(caller.port)
    return Running(endpoint, endpoint, (caller, front, auth))


def _keys(folder: Path) -> Path:
    """Return ``folder``, with the keys in it: one pair for all chains of a run."""
    if folder.exists():
        return folder
    folder.mkdir()
    key = rsa.generate_private_key(65537, _BITS)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "private.pem").write_bytes(private)
    (folder / "public.pem").write_bytes(public)
    return folder
