"""What ``check`` says of the apps' own entrances: where none can be, and who could come in."""

import os
from collections.abc import Iterator
from pathlib import Path

from proxy.config.acme import CHALLENGES
from proxy.config.app_settings import FILE_NAME
from proxy.config.apps import App, Catalogue
from proxy.config.entrance import Entrance
from proxy.config.listen import LISTENERS, Address
from proxy.config.portal_yaml import Config
from proxy.core.errors import Problem
from proxy.server.entrance_sockets import Elsewhere, find_place
from proxy.server.sockets import what_is_at

_PLACE = "entrance"
_FOR_EVERYBODY = 0o006


def about_entrances(
    catalogue: Catalogue, config: Config, warnings: list[Problem]
) -> Iterator[Problem]:
    """Tell what keeps an entrance from being opened; what is worth a warning goes to those."""
    listeners: dict[str, Address] = {name: getattr(config.listen, name) for name in LISTENERS}
    if config.acme is not None:
        listeners[CHALLENGES] = config.acme.listen
    for app in catalogue.apps.values():
        entrance, file = app.entrance, f"apps/{app.name}/{FILE_NAME}"
        if entrance is None:
            continue
        warnings += _about_callers(file, app, entrance)
        taken = [name for name, there in listeners.items() if entrance.address.overlaps(there)]
        if taken:
            what = f"{entrance} is the {taken[0]} listener's; expected an address of its own"
            yield Problem(file, _PLACE, what)
        else:
            yield from _about_place(file, entrance, warnings)


def _about_place(file: str, entrance: Entrance, warnings: list[Problem]) -> Iterator[Problem]:
    if entrance.address.unix:
        path = Path(entrance.address.unix)
        folder = path.parent
        if there := what_is_at(path):
            what = f"{there} is there, and stays: move it away, or name another"
            yield Problem(file, _PLACE, what)
            return
        if not os.access(folder, os.W_OK | os.X_OK):
            what = f"{folder} isn't a folder that can be written to; make it, for the proxy's user"
            yield Problem(file, _PLACE, what)
        return
    try:
        find_place(entrance)
    except Elsewhere as error:
        warnings.append(Problem(file, _PLACE, f"{error}, which is right where the proxy isn't run"))
    except OSError as error:
        yield Problem(file, _PLACE, str(error))


def _about_callers(file: str, app: App, entrance: Entrance) -> Iterator[Problem]:
    address = entrance.address
    if address.unix and address.mode & _FOR_EVERYBODY and not entrance.asks_token:
        what = (
            f"whoever may enter {Path(address.unix).parent} can call as {app.name}: keep others "
            "out of that folder, or write 0660"
        )
        yield Problem(file, "entrance_mode", what)
