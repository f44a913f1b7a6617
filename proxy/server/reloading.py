"""SIGHUP: a running proxy takes over what it can of portal.yaml, and tells what waits for a start.

Each process reads the file itself; the first of several only, so that workers which it starts later
begin with the same. A file with a mistake changes nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from proxy import logging_setup as logs
from proxy.config.portal_yaml import FILE_NAME, Config
from proxy.config.portal_yaml_watch import PortalYamlWatch
from proxy.config.reload import Reload, reload_of
from proxy.core.errors import Invalid
from proxy.portal import Portal
from proxy.server.sockets import raise_descriptor_limit
from proxy.state.files import Busy
from proxy.transfer.disk_thread import DiskThread

log = logging.getLogger("proxy.reload")


def _nothing() -> None:
    pass


class Reloading:
    """Follows portal.yaml, and takes it over when that is wanted."""

    def __init__(self, portal: Portal, watch: PortalYamlWatch) -> None:
        self._portal = portal
        self._watch = watch
        self._is_wanted = False
        self.on_taken: Callable[[], None] = _nothing
        """Has whatever was made of the settings go by the new ones."""
        self.on_done: Callable[[], None] = _nothing
        """Is told that a reload is over, whether or not anything changed."""

    def want(self) -> None:
        """Take the file over at the next look."""
        self._is_wanted = True

    def waiting(self) -> dict[str, list[str]]:
        """Return the keys of the file that don't hold yet, by what they wait for."""
        plan = reload_of(self._portal.config, self._watch.current)
        waits = {"reload": plan.taken, "start": plan.waiting}
        return {what: list(keys) for what, keys in waits.items() if keys}

    async def follow(self, thread: DiskThread) -> None:
        """Look at the file, and take it over if that is wanted."""
        # Before the look: a file that was changed before the signal must be the one that is read.
        wanted, self._is_wanted = self._is_wanted, False
        try:
            look = await thread.run(self._watch.look)
        except BaseException:
            self._is_wanted = wanted or self._is_wanted  # the next look has to do it
            raise
        self._watch.apply(look)
        if wanted:
            plan = self._plan()
            if plan is not None:
                await thread.run(lambda: self._have_sealed_by(plan.now))
                self._take(plan)
            self.on_done()

    def refresh(self) -> None:
        """Do the same where nobody is served meanwhile."""
        wanted, self._is_wanted = self._is_wanted, False
        self._watch.refresh()
        if wanted:
            plan = self._plan()
            if plan is not None:
                self._have_sealed_by(plan.now)
                self._take(plan)
            self.on_done()

    def _plan(self) -> Reload | None:
        if self._watch.problems:
            what = "; ".join(map(str, self._watch.problems))
            log.error("SIGHUP: nothing is taken over, for it has a mistake: %s", what)
            return None
        plan = reload_of(self._portal.config, self._watch.current)
        if plan.waiting:
            log.warning("SIGHUP: these hold from the next start: %s", ", ".join(plan.waiting))
        if plan.taken:
            return plan
        if not plan.waiting:
            log.info("SIGHUP: %s says what holds already", self._file)
        return None

    def _have_sealed_by(self, config: Config) -> None:
        """Have sealing keys made as ``config`` says; what goes wrong keeps nothing else back."""
        sealing, accepting = self._portal.sealing, "sealed" in config.accept
        now = self._portal.clock()
        try:
            sealing.take_settings(config.sealing_rotation, accepting=accepting, now=now)
        except (Invalid, Busy) as error:
            log.error("SIGHUP: %s", error)  # noqa: TRY400 - the owner's mistake, not ours

    def _take(self, plan: Reload) -> None:
        config = within_descriptors(plan.now)
        self._portal.take_settings(config)
        self._watch.running = config
        if "log" in plan.taken:
            logs.take_form(config.log)
        self.on_taken()
        log.warning("SIGHUP: these hold from now on: %s", ", ".join(plan.taken))

    @property
    def _file(self) -> str:
        return str(self._portal.config.folder / FILE_NAME)


def within_descriptors(config: Config) -> Config:
    """Have as many descriptors as the limits need, or lower these to what there is."""
    allowed = raise_descriptor_limit(config.limits.needed_descriptors)
    limits = replace(config.limits, descriptors=allowed)
    if shortage := limits.shortage():
        log.warning("limits.connections: %s", shortage)
    return replace(config, limits=limits)
