"""What every listener of one running Portal shares: its key, its names, its changing state.

The changing parts (contacts, terminals and apps) are replaced whole, never edited in place, so a
request is decided under one state.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import is_not
from types import MappingProxyType

from proxy.config.apps import App, Catalogue
from proxy.config.apps_watch import CatalogueWatch
from proxy.config.portal_yaml import Config
from proxy.core.access.decision import RuleMatcher
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import MODES, Caller, Contact, ContactList, Mode
from proxy.core.access.template import Variables
from proxy.core.errors import Code, Refusal
from proxy.core.gate import AccessContext
from proxy.core.http.caching import NO_STORE
from proxy.core.http.headers import Field
from proxy.core.http.problem import Response
from proxy.core.identity import PrivateKey, short_id
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.response import Question, sign_response
from proxy.state.contacts import ContactWatch
from proxy.state.file_watch import Look
from proxy.state.replay import ReplayStore
from proxy.state.sealing_keys import SealingKeyStore
from proxy.state.terminals import PairingStore, TerminalWatch
from proxy.transfer.active_requests import ActiveRequests
from proxy.transfer.last_calls import LastCalls, LastCallsNotes
from proxy.transfer.rates import RateTables
from proxy.transfer.request_counts import RequestCounter, RequestCounts
from proxy.transfer.shared_counts import ALONE, Counts

SUPPORTED: frozenset[Mode] = frozenset(MODES)
"""The modes that this version supports."""
Clock = Callable[[], float]


@dataclass
class Portal:
    """One Portal as it runs."""

    config: Config
    key: PrivateKey
    contacts: ContactWatch
    catalogue: CatalogueWatch
    sealing: SealingKeyStore
    terminals: TerminalWatch
    pairing: PairingStore
    replays: ReplayStore
    clock: Clock = time.time
    only: str | None = None
    """The one app that this process serves; None serves all that are there."""
    active_requests: ActiveRequests = field(default_factory=ActiveRequests)
    """What runs just now, to be revoked when its subject is removed."""
    counts: Counts = ALONE
    """How much runs, here and in other workers."""
    rates: RateTables = field(default_factory=RateTables)
    """What was asked lately, here and in other workers."""
    requests: RequestCounter = field(default_factory=lambda: RequestCounts().of_worker(0))
    """Counts what has run."""
    last_calls: LastCallsNotes = field(default_factory=lambda: LastCalls().of_worker(0))
    """Notes when each peer last called, and was called."""
    rule_matchers: Mapping[str, RuleMatcher] = field(init=False)
    hosts: Hosts = field(init=False)
    modes: frozenset[Mode] = field(init=False)
    """The modes in which calls are accepted: of those that exist, the owner's choice."""
    _device_tokens: frozenset[str] = field(init=False, default=frozenset())
    """The apps to which devices come by a token."""
    _context: AccessContext | None = field(init=False, default=None)
    _context_parts: tuple[object, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        self.take_settings(self.config)
        self._prepare()

    def take_settings(self, config: Config) -> None:
        """Go by ``config`` from the next request on; who the Portal is, and where, stays."""
        self.config = config
        origin = config.public_origin(self.id)
        self.hosts = Hosts(origin, config.aliases, self.only, config.app_hosts)
        self.modes = config.accept & SUPPORTED
        self._context = None

    def follow_apps(self) -> bool:
        """Take over what changed in the apps' files; tells whether something did."""
        return self.take_apps(self.catalogue.look())

    def take_apps(self, look: Look[Catalogue]) -> bool:
        """Take over what a look at the apps' files found; tells whether something changed."""
        changed = self.catalogue.apply(look)
        if changed:
            self._prepare()
        return changed

    def _prepare(self) -> None:
        matchers = {name: RuleMatcher(app.rules) for name, app in self.apps.items()}
        self.rule_matchers = MappingProxyType(matchers)
        self._device_tokens = frozenset(
            name for name, app in self.apps.items() if app.device_tokens
        )

    @property
    def apps(self) -> Mapping[str, App]:
        """The apps that are served, by name."""
        found = self.catalogue.current.apps
        if self.only is None:
            return found
        return {name: app for name, app in found.items() if name == self.only}

    @property
    def id(self) -> str:
        """The full Portal ID."""
        return self.key.public.portal_id

    @property
    def context(self) -> AccessContext:
        """What a request is admitted against, as of now."""
        parts = (
            self.rule_matchers,
            self.contacts.available,
            self.modes,
            self.terminals.available,
            self.catalogue.unavailable,
            self._device_tokens,
        )
        if self._context is None or any(map(is_not, self._context_parts, parts)):
            apps, contacts, modes, terminals, unavailable, device_tokens = parts
            if unavailable:
                apps = {name: apps[name] for name in apps.keys() - unavailable}
            entrances = {name: app.entrance.way for name, app in self.apps.items() if app.entrance}
            self._context = AccessContext(
                self.id,
                self.hosts,
                apps,
                contacts,
                modes,
                terminals,
                unavailable,
                entrances=entrances,
                device_tokens=device_tokens,
            )
            self._context_parts = parts
        return self._context

    def contact_list(self) -> ContactList:
        """Return the contacts; raises ``Refusal`` where nobody knows just now who is one."""
        contacts = self.contacts.available
        if contacts is None:
            raise Refusal(Code.CONTACTS_UNAVAILABLE, "the contact list can't be read")
        return contacts

    def peer(self, app: str, prefix: str) -> Contact:
        """Return the one peer that ``prefix`` names to ``app``.

        Raises ``Refusal``: ``CONTACTS_UNAVAILABLE``, and ``NO_SUCH_PEER``, the same for hidden and
        unknown; its detail tells the owner which it was.
        """
        contacts = self.contact_list()
        contact = contacts.resolve(app, prefix)
        if contact is None:
            fitting = [peer.id for peer in contacts.fitting(prefix)] if prefix else []
            detail = f"{app} asks for {prefix[:110]!r}; contacts that fit: {fitting}"
            raise Refusal(Code.NO_SUCH_PEER, detail)
        return contact

    def variables(self, caller: Caller) -> Variables:
        """Return what an app.json's templates can use for a request of ``caller``."""
        return Variables(
            client_type=caller.type,
            client_id=caller.id,
            client_name=caller.name,
            portal_domain=self.hosts.origin.host,
            portal_id=self.id,
            portal_short_id=short_id(self.id),
            portal_public_key_pem=self.key.public.pem,
        )

    def sign_response(
        self, response: Response, sha256: bytes, question: Question
    ) -> tuple[Field, ...]:
        """Return the fields of ``response``, signed as what answers ``question``.

        ``sha256`` is the digest of the body that will be sent. No cache may keep it: it answers one
        question, and isn't believed by who asks another. That isn't covered, since web servers on
        the way write their own. Raises ``NotSignable`` where the question covers what isn't in it,
        as only a refused request's can.
        """
        fields = (*response.fields, content_digest(sha256))
        message = Message(fields=fields, status=response.status)
        signed = sign_response(self.key, message, question, now=int(self.clock()))
        return (*signed.fields, NO_STORE)
