"""portal.yaml while a proxy runs: read at its start, and looked at afterwards.

A change holds from the next SIGHUP or the next start. One with a mistake would keep the proxy from
starting: that is told while its owner still knows what was changed.
"""

import logging
from pathlib import Path

from proxy.config.own_identity import id_problem
from proxy.config.portal_yaml import FILE_NAME, Config, load_config
from proxy.config.reload import reload_of
from proxy.core.errors import Invalid
from proxy.core.identity import PrivateKey
from proxy.state.file_watch import FileWatch, Look, Versions
from proxy.state.files import file_version

_log = logging.getLogger("proxy")


class PortalYamlWatch(FileWatch[Config]):
    """What portal.yaml says now, and what is wrong with it. The proxy goes by ``running``."""

    _while_stale = "the proxy runs on as it started"

    def __init__(self, config: Config, key: PrivateKey) -> None:
        super().__init__(config)
        self.running = config
        """What holds."""
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

    def apply(self, look: Look[Config]) -> bool:
        """Take over what a look found; one that was changed while the proxy started is told."""
        is_first = self._is_first
        changed = super().apply(look)
        if is_first and not self.problems:
            plan = reload_of(self.running, self.current)
            if plan.taken or plan.waiting:
                self._log_change()
        return changed

    def _log_change(self) -> None:
        plan = reload_of(self.running, self.current)
        if plan.taken:
            keys = ", ".join(plan.taken)
            _log.warning("%s changed: SIGHUP takes over %s, as does a start", self._path, keys)
        if plan.waiting:
            keys = ", ".join(plan.waiting)
            _log.warning("%s changed: from the next start on holds %s", self._path, keys)
        if not (plan.taken or plan.waiting):
            _log.warning("%s changed: it says what holds", self._path)

    def _log_problems(self, invalid: Invalid) -> None:
        _log.error("the proxy runs on, but wouldn't start again: %s", invalid)
