"""The composition root: puts one running proxy together, from what is in its files."""

import logging

from proxy.config.apps_watch import CatalogueWatch
from proxy.config.authorities import read_authorities
from proxy.config.certificate import CertificateWatch
from proxy.config.own_identity import load_own_identity
from proxy.config.portal_yaml import Config
from proxy.http.client.engine import Http1Upstream
from proxy.http.tls.verifying import believing
from proxy.http.upstream import AppUpstream, Destination
from proxy.portal import Portal
from proxy.server.running import Running
from proxy.state.contacts import ContactStore, ContactWatch
from proxy.state.files import Busy, sweep
from proxy.state.layout import State
from proxy.state.replay import ReplayStore
from proxy.state.schema import mark_version, refuse_later
from proxy.state.sealing_keys import SealingKeyStore
from proxy.state.surplus_responses import SurplusResponses
from proxy.state.system_errors import explained
from proxy.state.terminals import PairingStore, TerminalStore, TerminalWatch
from proxy.state.tokens import TokenStore

log = logging.getLogger("proxy")


def compose(
    config: Config, *, only: str | None = None, upstream: AppUpstream | None = None
) -> Running:
    """Open everything a proxy needs; raises ``Invalid``.

    ``only`` is the one app to serve, ``upstream`` what leads to it; by default all, over sockets.
    """
    running = prepare(config, only=only, upstream=upstream)
    running.open()
    return running


def prepare(
    config: Config, *, only: str | None = None, upstream: AppUpstream | None = None
) -> Running:
    """Read everything a proxy needs, and open nothing: it may be served by who is forked later."""
    state = State(config.state)
    # Under somebody else's server another Portal of this process may have the database open.
    refuse_later(state, replays=False)
    _sweep(state)
    store = ContactStore(state.contacts, config.domain)
    store.load()  # a first list must be good; later, a broken one keeps the last good one
    catalogue = CatalogueWatch(config.folder)
    sealing = SealingKeyStore(
        state.sealing, config.sealing_rotation, accepting="sealed" in config.accept
    )
    key = load_own_identity(config)
    tls = config.tls
    certificate = None
    if tls is not None:
        host = config.public_origin(key.public.portal_id).host
        certificate = CertificateWatch(tls.certificate, tls.key, host)
    terminals = TerminalStore(state.terminals)
    terminals.load()  # as above
    watch, pairing = TerminalWatch(terminals), PairingStore(state.pairing, terminals)
    replays, contacts = ReplayStore(state.replays), ContactWatch(store)
    portal = Portal(config, key, contacts, catalogue, sealing, watch, pairing, replays, only=only)
    _mark(state)
    sealing.open(portal.clock())
    tokens = TokenStore(state.tokens)
    surplus_responses = SurplusResponses(state.surplus_responses)

    def note(to: Destination) -> None:
        surplus_responses.note_soon(
            [app.name for app in portal.apps.values() if app.upstream == to]
        )

    if upstream is None:
        upstream = Http1Upstream(on_surplus_response=note)
    for_peers = None
    if config.peer_authorities is not None:
        believed = read_authorities(config.peer_authorities)
        for_peers = Http1Upstream(believing(believed, beside_system=True))
    certifying = None
    if config.acme is not None:
        from proxy.server.certifying import Certifying  # noqa: PLC0415 - few need it

        certifying = Certifying(config, portal.id)
    return Running(portal, tokens, replays, upstream, certificate, for_peers, certifying)


def _mark(state: State) -> None:
    """Have the state say of which version it is, before anything of this program is in it."""
    try:
        mark_version(state.folder)
    except (OSError, Busy) as error:
        why = explained(error) if isinstance(error, OSError) else str(error)
        log.error("%s can't be written: %s", state.schema, why)  # noqa: TRY400


def _sweep(state: State) -> None:
    """Delete what writers left that were killed: each is perhaps the copy of a secret."""
    for folder in (state.folder, state.tokens, state.acme):
        try:
            for leftover in sweep(folder):
                log.info("deleted %s, which a crash had left", leftover)
        except OSError as error:
            log.error("%s can't be swept: %s", folder, explained(error))  # noqa: TRY400
