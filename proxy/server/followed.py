"""What a running proxy follows: each list and file as one step, and what depends on them.

Where a list changes, or isn't known any more, what runs on it ends in the same turn of the event
loop in which the list is replaced.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from proxy.config.certificate import CertificateWatch
from proxy.monitoring.figures import Monitor
from proxy.portal import Portal
from proxy.server.entrances import Entrances
from proxy.server.follower import Step
from proxy.server.token_files import TokenFiles
from proxy.state.file_watch import FileWatch
from proxy.state.replay import ReplayStore
from proxy.state.tokens import TokenStore
from proxy.transfer.disk_thread import DiskThread

_Value = TypeVar("_Value")


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Followed:
    """The parts of one proxy that are followed."""

    portal: Portal
    tokens: TokenStore
    token_files: TokenFiles
    replays: ReplayStore
    certificate: CertificateWatch | None
    look_around: Callable[[], object]
    """Looks at what nobody takes over, but the owner is told of; waits for the disk."""
    follow_portal_yaml: Callable[[DiskThread], Awaitable[None]]
    """Looks at portal.yaml, and takes it over when that is wanted."""
    entrances: Entrances
    end_lost_tunnels: Callable[[], None] = _nothing
    """Ends what apps hold open, and couldn't open any more."""
    monitor: Monitor | None = None
    """Tells other processes how this one is, where there are any."""

    def steps(self) -> tuple[Step, ...]:
        """Return a step for each of them."""
        contacts, terminals = self.portal.contacts, self.portal.terminals
        steps = [
            Step("contacts", partial(self._follow_list, contacts), contacts.miss),
            Step("terminals", partial(self._follow_list, terminals), terminals.miss),
            Step("apps", self._follow_apps, self.portal.catalogue.miss),
            Step("tokens", self._follow_tokens, self.tokens.miss),
            Step("token files", self._deliver_tokens),
            Step("sealing keys", self._follow_sealing_keys),
            Step("replay store", self._show_replays_alive),
            Step("removals", self._revoke_lost),
            Step("when devices were seen", self._write_who_was_seen),
            Step("entrances", self.entrances.follow),
            Step("state", self._look_around),
            Step("portal.yaml", self.follow_portal_yaml),
        ]
        if self.monitor is not None:
            steps.append(Step("figures", partial(self._tell_figures, self.monitor)))
        watch = self.certificate
        if watch is not None:
            steps.append(Step("certificate", partial(self._follow_certificate, watch), watch.miss))
        return tuple(steps)

    async def _follow_list(self, watch: FileWatch[_Value], thread: DiskThread) -> None:
        watch.apply(await thread.run(watch.look))
        self._revoke()

    async def _follow_apps(self, thread: DiskThread) -> None:
        if self.portal.take_apps(await thread.run(self.portal.catalogue.look)):
            self.token_files.want()
        self._revoke()

    async def _follow_tokens(self, thread: DiskThread) -> None:
        if self.tokens.apply(await thread.run(self.tokens.look)):
            self.token_files.want()
        self.end_lost_tunnels()

    async def _deliver_tokens(self, thread: DiskThread) -> None:
        # By itself: the folder of an app that is slow must keep no token from being followed.
        if self.token_files.is_due():
            await thread.run(partial(self.token_files.deliver, dict(self.portal.apps)))

    async def _follow_certificate(self, watch: CertificateWatch, thread: DiskThread) -> None:
        watch.apply(await thread.run(watch.look))
        watch.choose(self.portal.clock())

    async def _follow_sealing_keys(self, thread: DiskThread) -> None:
        await thread.run(partial(self.portal.sealing.follow, self.portal.clock()))

    async def _write_who_was_seen(self, thread: DiskThread) -> None:
        write = self.portal.terminals.to_flush(self.portal.clock())
        if write is not None:
            await thread.run(write)

    async def _tell_figures(self, monitor: Monitor, _: DiskThread) -> None:
        await monitor.tell()

    async def _look_around(self, thread: DiskThread) -> None:
        await thread.run(self.look_around)

    async def _show_replays_alive(self, thread: DiskThread) -> None:
        # The clock is asked in the thread: else a wait would look like a clock that was set back.
        await thread.run(lambda: self.replays.keep_alive(self.portal.clock()))

    async def _revoke_lost(self, _: DiskThread) -> None:
        # Those that began while a list was replaced, and terminals whose time is over.
        self._revoke()

    def _revoke(self) -> None:
        self.portal.active_requests.revoke_lost(self.portal.context, self.portal.clock())
        self.end_lost_tunnels()
