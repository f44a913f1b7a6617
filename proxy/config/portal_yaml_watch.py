"""portal.yaml while a proxy runs: read at its start, and looked at afterwards.

A change holds from the next start. One with a mistake would keep the proxy from starting: that is
told while its owner still knows what was changed.
"""

import logging
from pathlib import Path

from proxy.config.own_identity import id_problem
from proxy.config.portal_yaml import FILE_NAME, Config, load_config
from proxy.core.errors import Invalid
from proxy.core.identity import PrivateKey
from proxy.state.file_watch import FileWatch, Versions
from proxy.state.files import file_version

_log = logging.getLogger("proxy")


class PortalYamlWatch(FileWatch[Config]):
    """What is wrong with portal.yaml now. The proxy runs on with ``config``, whatever it says."""

    _while_stale = "the proxy runs on as it started"

    def __init__(self, config: Config, key: PrivateKey) -> None:
        super().__init__(config)
        self._key = key
        self._path = config.folder / FILE_NAME
        self._folder: Path = config.folder

    @property
    def _name(self) -> str:
        return str(self._path)

    def _look(self) -> Versions:
        return {self._path: file_version(self._path, follow_links=True)}

    def _read(self) -> Config:
        config = load_config(self._folder)
        if problem := id_problem(config, self._key):
            raise Invalid([problem])
        return config

    def _log_change(self) -> None:
        _log.warning("%s changed: it holds from the next start", self._path)

    def _log_problems(self, invalid: Invalid) -> None:
        _log.error("the proxy runs on, but wouldn't start again: %s", invalid)
