"""Who this Portal is: the key in its state folder, held against the ID in portal.yaml.

A state folder gets lost: a volume is forgotten, the settings alone are restored, a path has a
mistake. Did the next start simply make another key, the Portal would be another one, whom no peer
knows, and nobody would notice. So portal.yaml names the Portal, and no other key is served.
"""

from pathlib import Path

from proxy.config.portal_yaml import FILE_NAME, NEW, Config
from proxy.core.errors import Invalid, Problem
from proxy.core.identity import PrivateKey, short_id
from proxy.state.identity_key import MissingKey, load_identity
from proxy.state.layout import State

WAYS_OUT = (
    "put the file of your backup in its place (`portal-proxy restore FILE` does), or give up being "
    "that Portal: `portal-proxy init --new-identity` makes a new one, which each peer has to add"
)


def load_own_identity(config: Config) -> PrivateKey:
    """Return this Portal's key.

    Raises ``Invalid`` where portal.yaml doesn't say who the Portal is, and where the key is
    missing, can't be used, or is another Portal's than the file says.
    """
    path = key_file(config)
    try:
        key = load_identity(path, external=is_key_elsewhere(config))
    except MissingKey:
        if config.id in {None, NEW}:
            raise
        what = f"is missing, and {_yaml(config)} says that this is {config.id}: {WAYS_OUT}"
        raise Invalid([Problem(str(path), "", what)]) from None
    if problem := id_problem(config, key):
        raise Invalid([problem])
    return key


def key_file(config: Config) -> Path:
    """Return where this Portal's key is: in its state folder, or where a secret store puts it."""
    return config.identity_key or State(config.state).identity_key


def is_key_elsewhere(config: Config) -> bool:
    """Tell whether another program keeps the key, so that nothing here may make or replace it."""
    return config.identity_key is not None


def id_problem(config: Config, key: PrivateKey) -> Problem | None:
    """Return what is wrong with ``id`` in portal.yaml where the Portal's key is ``key``."""
    found = key.public.portal_id
    if config.id is None:
        what = (
            "is missing. It says which Portal this is, so that nothing else is ever served in its "
            f"place. If {short_id(found)} is the right one, `portal-proxy init` adds this line: "
            f"{id_line(found)}"
        )
        return Problem(_yaml(config), "id", what)
    if config.id not in {NEW, found}:
        path = key_file(config)
        what = f"is the key of {found}, and {_yaml(config)} says that this is {config.id}"
        return Problem(str(path), "", f"{what}: {WAYS_OUT}")
    return None


def id_line(portal_id: str) -> str:
    """Return the line of portal.yaml that says who the Portal is."""
    return f"id: {portal_id}"


def _yaml(config: Config) -> str:
    return str(config.folder / FILE_NAME)
