"""One running proxy: its listeners, what follows its files, how it is, and its end."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from proxy import logging_setup as logs
from proxy.admin import AboutAll, owner_app
from proxy.config.acme import CHALLENGES
from proxy.config.certificate import CertificateWatch
from proxy.config.listen import LISTENERS
from proxy.config.own_identity import is_key_elsewhere, key_file
from proxy.config.portal_yaml import Config
from proxy.config.portal_yaml_watch import PortalYamlWatch
from proxy.core.access.policy import Mode
from proxy.core.errors import Invalid, Problem
from proxy.core.http.forwarded import NOBODY, Trusted
from proxy.http.client.engine import Http1Upstream
from proxy.http.client.look import UpstreamLooks
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.http.upstream import AppUpstream, Upstream, UpstreamTimeouts, WithTimeouts
from proxy.inbound.app import Inbound
from proxy.monitoring.figures import (
    Monitor,
    of_connections,
    of_files,
    of_portal,
    of_running,
)
from proxy.outbound.app import Outbound
from proxy.outbound.call import CallContext, CallTransport
from proxy.outbound.epochs import Epochs
from proxy.outbound.identity_documents import PATIENCE, Directory
from proxy.outbound.peer_api import peer_service
from proxy.outbound.reachability import Reachability
from proxy.outbound.transports import transports
from proxy.portal import Portal
from proxy.server.entrance_sockets import EntranceSockets
from proxy.server.entrances import Behind, Entrances, OwnSockets, SocketSource
from proxy.server.followed import Followed
from proxy.server.follower import Follower
from proxy.server.listener import Listener
from proxy.server.reloading import Reloading
from proxy.server.sockets import ListeningSocket
from proxy.server.spare_descriptors import SpareDescriptors
from proxy.server.status import Status
from proxy.server.token_files import TokenFiles
from proxy.state.file_watch import FileWatch
from proxy.state.identity_key import IdentityWatch
from proxy.state.layout import State
from proxy.state.owner_token import make_owner_token
from proxy.state.replay import ReplayStore
from proxy.state.state_folder import StateFolder
from proxy.state.tokens import TokenStore
from proxy.transfer.access_log import Logged
from proxy.transfer.catch_all import CatchAll
from proxy.transfer.limiters import ConnectionLimiter
from proxy.transfer.shared_figures import Figure, SharedFigures

if TYPE_CHECKING:
    from proxy.server.certifying import Certifying

log = logging.getLogger("proxy")


@dataclass
class Running:
    """The parts of one proxy that are opened, kept up to date and closed together."""

    portal: Portal
    tokens: TokenStore
    replays: ReplayStore
    upstream: AppUpstream = field(default_factory=Http1Upstream)
    certificate: CertificateWatch | None = None
    """What the public listener speaks TLS with; None where it doesn't."""
    for_peers: Upstream | None = None
    """What leads to peers where other certificates are believed for them; None: ``upstream``."""
    certifying: "Certifying | None" = None
    """What keeps the certificate new; None where that is the owner's business."""
    state_folder: StateFolder = field(init=False)
    portal_yaml: PortalYamlWatch = field(init=False)
    reloading: Reloading = field(init=False)
    identity: IdentityWatch = field(init=False)
    more_problems: Callable[[], tuple[Problem, ...]] = tuple
    """Tells what is wrong with other processes of this Portal."""
    worker: int = 0
    """Which of several processes this is."""
    figures: SharedFigures = field(default_factory=SharedFigures)
    """What each of them tells of itself."""
    entrance_sockets: EntranceSockets = field(init=False)
    """Those of the apps' own entrances, where this process opens them."""
    entrance_source: SocketSource | None = None
    """Where this process has them from; None opens them itself."""
    entrances: Entrances = field(init=False)
    """What listens there, from ``open`` on."""
    follow_entrances: Callable[[], None] = lambda: None
    """Has the sockets opened of who serves nobody here, but elsewhere."""
    is_ending: Callable[[], bool] = lambda: False
    """Tells whether the proxy is about to end."""
    _token_files: TokenFiles = field(init=False)
    _monitor: Monitor = field(init=False)
    """The numbers of this process, from ``open`` on."""
    _listeners: tuple[Listener, ...] = field(init=False, default=())
    _directory: Directory | None = field(init=False, default=None)
    _reachability: Reachability | None = field(init=False, default=None)
    _outbound: Outbound | None = field(init=False, default=None)
    _epochs: Epochs = field(init=False, default_factory=Epochs)
    _began: float = field(init=False, default=0.0)
    _spare: SpareDescriptors | None = field(init=False, default=None)
    _follower: Follower | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.state_folder = StateFolder(self.portal.config.state)
        self.portal_yaml = PortalYamlWatch(self.portal.config, self.portal.key)
        config = self.portal.config
        self.reloading = Reloading(self.portal, self.portal_yaml)
        self.identity = IdentityWatch(
            key_file(config), self.portal.id, external=is_key_elsewhere(config)
        )
        self._token_files = TokenFiles(self.tokens)
        addresses = {name: getattr(config.listen, name) for name in LISTENERS}
        if config.acme is not None:
            addresses[CHALLENGES] = config.acme.listen
        self.entrance_sockets = EntranceSockets(addresses)

    def open(self) -> None:
        """Open what each process that serves has for itself; raises ``Invalid`` and ``Busy``."""
        self.replays.open(self.portal.clock())
        self._began = time.time()
        replays = State(self.portal.config.state).replays
        self._monitor = Monitor(
            self.portal.requests.counts, self.figures, self.worker, self._figures_now, replays
        )
        self._spare = SpareDescriptors()
        source = self.entrance_source or OwnSockets(self.entrance_sockets)
        self.entrances = Entrances(lambda: self.portal.apps, source)
        parts = Followed(
            self.portal,
            self.tokens,
            self._token_files,
            self.replays,
            self.certificate,
            self.look_around,
            self.reloading.follow,
            self.entrances,
            self._end_lost_tunnels,
            # One process alone tells when it is asked.
            self._monitor if len(self.figures) > 1 else None,
        )
        self._follower = Follower(parts.steps(), self._spare)

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the files just now."""
        portal = self.portal
        watched = (
            *(self.state_folder, self.portal_yaml, self.identity),
            *(portal.catalogue, portal.contacts),
            *(portal.terminals, portal.pairing, portal.sealing, self.tokens, self.tokens.current),
        )
        found = chain.from_iterable(each.problems for each in watched)
        certificate = self.certificate.problems_at(portal.clock()) if self.certificate else ()
        unfollowed = self._follower.problems() if self._follower is not None else ()
        entrances = self.entrances.problems() if self._follower is not None else ()
        others = (
            *certificate,
            *entrances,
            *self._token_files.problems,
            *unfollowed,
            *self.more_problems(),
        )
        return tuple(dict.fromkeys((*found, *others, *self.replays.problems)))

    def not_well(self) -> tuple[str, ...]:
        """Return all that is wrong just now, in words; nothing where all is well."""
        found = [str(problem) for problem in self.problems()]
        if stands_still := logs.problem():
            found.append(f"log: {stands_still}")
        if self.is_ending():
            found.append("the proxy is about to end")
        return tuple(found)

    def _figures_now(self) -> Iterator[Figure]:
        portal, certificate = self.portal, self.certificate
        files: dict[str, FileWatch[Any]] = {
            "portal.yaml": self.portal_yaml, "identity.key": self.identity,
            "apps": portal.catalogue, "contacts.yaml": portal.contacts,
            "terminals.yaml": portal.terminals, "tokens": self.tokens,
        }  # fmt: skip
        if certificate is not None:
            files["certificate"] = certificate
            yield Figure("certificate_expiry_timestamp_seconds", certificate.in_use.ends)
        found = self.not_well()
        yield Figure("problems", len(found))
        yield Figure("ready", not found)
        yield Figure("log_lines_dropped", logs.dropped())
        yield Figure("start_timestamp_seconds", self._began)
        yield Figure("tasks", len(asyncio.all_tasks()))
        yield Figure("documents", 0 if self._directory is None else len(self._directory))
        yield from of_connections({each.name: each.connections for each in self._listeners})
        yield from of_running(portal.active_requests)
        yield from of_portal(portal, portal.clock())
        yield from of_files(files)

    def listeners(self, sockets: Mapping[str, ListeningSocket]) -> tuple[Listener, ...]:
        """Return every listener, with its app behind it, at its socket of ``sockets``."""
        portal = self.portal
        patience = min(PATIENCE, portal.config.timeouts.peer_answer)
        self._directory = directory = Directory(
            self.for_peers or self.upstream, portal.clock, patience
        )
        self._reachability = reachability = Reachability(directory, portal.clock)
        by_mode = self._transports(directory, reachability)
        service = peer_service(portal, reachability)
        watch, for_clients = self.certificate, _for_clients(portal.config)
        inbound = Inbound(portal, self.upstream)
        self._outbound = outbound = Outbound(portal, by_mode, self.tokens, service)
        apps: dict[str, ASGIApp] = {
            "public": inbound,
            "apps": outbound,
            "owner": owner_app(
                portal,
                self.not_well,
                self.reloading.waiting,
                self._monitor.exposition,
                self._about_all(reachability),
            ),
        }
        opened: list[Listener] = []
        limiters: dict[str, ConnectionLimiter] = {}
        for name, app in apps.items():
            tls = partial(getattr, watch, "context") if watch and name == "public" else None
            trusted = _trusted_at(name, portal.config)
            limits = portal.config.limits.at(name)
            limiters[name] = limiter = ConnectionLimiter(limits, trusted, portal.counts, name)
            # What serves by callbacks writes its own lines.
            within = (
                app
                if isinstance(app, Inbound | Outbound)
                else Logged(CatchAll(app), name, portal.requests)
            )
            listener = Listener(name, within, sockets[name], for_clients, limiter, tls)
            listener.is_held = self._are_descriptors_released
            opened.append(listener)
        if self.certifying is not None and self.worker == 0:  # one of several is enough
            opened.append(self.certifying.begin(sockets[CHALLENGES]))
        self._listeners = tuple(opened)
        at_entrances = partial(self._at_entrances, outbound, limiters["apps"])
        self.entrances.stand_before(at_entrances())
        self.reloading.on_taken = partial(self._take_settings, inbound, outbound, at_entrances)
        return self._listeners

    def _end_lost_tunnels(self) -> None:
        if self._outbound is not None:
            self._outbound.end_lost_tunnels()
        self.entrances.end_lost_tunnels()

    def _about_all(self, reachability: Reachability) -> AboutAll | None:
        """Return what tells the owner's commands of everything; None where they can't be known."""
        try:
            token = make_owner_token(State(self.portal.config.state).owner_token)
        except (Invalid, OSError) as error:
            log.error("`portal-proxy status` won't be answered: %s", error)  # noqa: TRY400 - as below
            return None
        status = Status(
            self.portal,
            reachability,
            lambda: self._listeners,
            self.certificate,
            self.reloading.waiting,
            self.not_well,
            self._began,
            len(self.figures),
            UpstreamLooks(),
        )
        return AboutAll(token, status.members)

    def _at_entrances(self, outbound: Outbound, limiter: ConnectionLimiter) -> Behind:
        config = self.portal.config
        timeouts, limits = _for_clients(config), config.limits.at("apps")
        return Behind(outbound, limiter, timeouts, limits, self._are_descriptors_released)

    def _take_settings(
        self, inbound: Inbound, outbound: Outbound, at_entrances: Callable[[], Behind]
    ) -> None:
        """Have the listeners, and what is behind them, go by the settings as they are now."""
        config = self.portal.config
        inbound.take_settings()
        if self._directory is not None and self._reachability is not None:
            self._directory.patience = min(PATIENCE, config.timeouts.peer_answer)
            outbound.take_settings(self._transports(self._directory, self._reachability))
        for listener in self._listeners:
            name = listener.name
            if name == CHALLENGES:
                continue  # it has limits of its own
            trusted = _trusted_at(name, config)
            listener.take_settings(_for_clients(config), config.limits.at(name), trusted)
        self.entrances.stand_before(at_entrances())

    def _are_descriptors_released(self) -> bool:
        return self._spare is not None and self._spare.are_released

    def _transports(
        self, directory: Directory, reachability: Reachability
    ) -> Mapping[Mode, CallTransport]:
        key, clock, config = self.portal.key, self.portal.clock, self.portal.config
        connect, silence = config.timeouts.peer_connect, config.timeouts.peer_answer
        upstream = WithTimeouts(
            self.for_peers or self.upstream, UpstreamTimeouts(connect, silence, silence)
        )
        context = CallContext(key, upstream, reachability, clock, self._epochs)
        return transports(context, directory, config.limits)

    def look_around(self) -> None:
        """Look at what nobody takes over, but the owner is told of; may wait for the disk."""
        self.state_folder.follow()
        self.portal.pairing.follow()
        self.identity.refresh()

    def look_at_once(self) -> None:
        """Have ``follow_files`` look now."""
        if self._follower is not None:
            self._follower.look_at_once()

    def refresh(self) -> None:
        """Take over what changed on disk; raises nothing. For who serves nobody meanwhile."""
        now, portal = self.portal.clock(), self.portal
        follow: list[Callable[[], object]] = [
            portal.contacts.refresh, portal.terminals.refresh, portal.follow_apps,
            self.tokens.refresh, partial(portal.sealing.follow, now), self.look_around,
            self.reloading.refresh, self.follow_entrances,
        ]  # fmt: skip
        if self.certificate is not None:
            follow.append(partial(self.certificate.follow, now))
        for step in follow:
            try:
                step()
            except Exception as error:  # noqa: BLE001 - one that fails keeps no other one back
                log.error("a file can't be followed: %r", error)  # noqa: TRY400 - as below

    async def follow_files(self) -> None:
        """Follow what changes on disk, until cancelled. Where it ends, what serves must end too."""
        if self._follower is None:
            raise RuntimeError("what isn't open can't be followed")
        await self._follower.run()

    def deliver_tokens(self) -> None:
        """Write each app's token where its proxy.yaml asks for it; waits for the disk."""
        self._token_files.deliver(self.portal.apps)
        self.tokens.refresh()  # from now on it is known what is in the folder

    async def close(self) -> None:
        """Close what was opened."""
        if self._follower is not None:
            self._monitor.close()
        if self.certifying is not None:
            await self.certifying.end()
        await self.upstream.close()
        if self.for_peers is not None:
            await self.for_peers.close()
        self.portal.terminals.close()
        self.replays.close()


def _for_clients(config: Config) -> ConnectionTimeouts:
    """Return how long clients may take."""
    timeouts = config.timeouts
    return ConnectionTimeouts(
        head=timeouts.head,
        idle=timeouts.idle,
        body=timeouts.client_body,
        send=timeouts.client_send,
    )


def _trusted_at(listener: str, config: Config) -> Trusted:
    """Return whose word is believed: at the others nobody is in front of apps and the owner."""
    return config.trusted_proxies if listener == "public" else NOBODY
