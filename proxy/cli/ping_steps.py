"""What ``ping`` looks at, in its order; each finding is a sentence that a person understands.

Nothing that the peer says is believed before it is proven, as in any call. Calls
go out in the contact's own mode and in no other, and are for nothing but who the Portal is.
"""

import time
from collections.abc import AsyncIterator

from proxy.cli.arguments import shortest_id
from proxy.cli.call_transport import refusal_words
from proxy.cli.output import DEFAULT_FOLDER, command_line, milliseconds, utc
from proxy.cli.ping_address import (
    EDIT,
    Step,
    problem,
    try_address,
    try_tls,
    well,
)
from proxy.cli.ping_call import LONG_AGO, NoResponse, PingCall, Response
from proxy.cli.ping_document import look_up
from proxy.cli.ping_thorough import NAMES, ThoroughSteps
from proxy.cli.portal_files import PortalFiles
from proxy.core.access.policy import Contact, ContactList
from proxy.core.errors import Code
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import BACKDATED, LIFETIME, Document
from proxy.core.signature.request import SKEW
from proxy.http.upstream import Upstream
from proxy.outbound.destinations import app_destination, destination_of
from proxy.transfer.body import REPLAYABLE


class PingSteps:
    """The steps for one contact; ``patience`` is seconds for each."""

    def __init__(
        self,
        portal: PortalFiles,
        contacts: ContactList,
        contact: Contact,
        key: PrivateKey,
        upstream: Upstream,
        patience: float,
    ) -> None:
        self._portal = portal
        self._contacts = contacts
        self._contact = contact
        self._key = key
        self._upstream = upstream
        self._patience = patience
        self._ping = PingCall(contact, key, upstream, patience)
        self._authorities = portal.peer_authorities()
        self._shift = 0.0
        """Seconds to add to our clock where the document can't be used without."""
        self._is_open = False
        """Whether requests can be sent to the address at all."""
        self._document: Document | None = None
        self._may_call = contact.mode == "signed"
        self._failure = ""
        self._response: Response | None = None

    async def steps(self, *, thorough: bool = False, shows: bool = False) -> AsyncIterator[Step]:
        """Yield every step in its order, also those that can't be tried.

        The ``thorough`` ones come last; ``shows`` how far those are.
        """
        for name, attempt in (
            ("address", self._address),
            ("tls", self._tls),
            ("document", self._look_at_document),
            ("key", self._compare_key),
            ("mode", self._compare_mode),
            ("clock", self._compare_clocks),
            ("round_trip", self._call),
            ("known_there", self._known_there),
            ("known_here", self._known_here),
        ):
            yield await attempt() or Step(name, ok=None, what="Not tried.")

        if thorough:
            async for step in self._thorough_steps(shows=shows):
                yield step

    async def _thorough_steps(self, *, shows: bool) -> AsyncIterator[Step]:
        if self._response is None:
            for name in NAMES:
                yield Step(name, ok=None, what="Not tried.")
            return
        found = ThoroughSteps(
            self._contact, self._key, self._patience, self._authorities, shows=shows
        )
        async for step in found.steps(self._document, self._clock):
            yield step

    async def _address(self) -> Step:
        step = await try_address(destination_of(self._contact), self._patience)
        self._is_open = bool(step.ok)
        return step

    async def _tls(self) -> Step | None:
        contact = self._contact
        if not self._is_open:
            return None
        if contact.origin.scheme == "http":
            risk = " Its calls are signed, so everybody on the way can read them."
            is_read = risk if contact.mode == "signed" else " Its calls are sealed."
            return well("tls", f"The address is a plain http one.{is_read}")
        step = await try_tls(destination_of(contact), self._patience, self._authorities)
        known = self._portal.apps_that_know(self._contacts, contact)
        if step.ok and contact.mode == "signed" and known:
            # Such a call names the app's host in TLS as well; what is sealed doesn't.
            of_app = await try_tls(
                app_destination(contact, known[0]), self._patience, self._authorities
            )
            step = step if of_app.ok else of_app
        self._is_open = bool(step.ok)
        return step

    async def _look_at_document(self) -> Step | None:
        if not self._is_open:
            return None
        found = await look_up(self._upstream, destination_of(self._contact), self._patience)
        self._document, self._shift = found.document, found.shift
        self._is_open = found.is_answered
        return found.step

    async def _compare_key(self) -> Step | None:
        if self._document is None:
            return None
        if self._document.portal_id == self._contact.id:
            return well("key", "It has the key of the ID in the contact list.")
        self._may_call = self._is_open = False
        what = f"Another Portal is at this address: {self._document.portal_id}"
        then = "Ask its owner by another way. With a new key it is a new contact: add it as that."
        return problem("key", what, then, found=self._document.portal_id)

    async def _compare_mode(self) -> Step | None:
        document, mode = self._document, self._contact.mode
        if document is None or not self._is_open:
            return None
        self._may_call = mode in document.modes
        if not self._may_call:
            accepted = "".join(f"{other} calls alone" for other in document.modes) or "no calls"
            what = f"It is called {mode}, and accepts {accepted}."
            then = f"Take `mode: signed` out. {EDIT}"
            if mode == "sealed":
                then = (
                    "Its owner should accept sealed calls. Or pin it to signed, and whoever is on "
                    f"the way can read them. {EDIT}"
                )
            return problem("mode", what, then)
        if mode == "signed":
            return well("mode", "It is called signed, and accepts that.")
        offered = document.sealing_key(self._clock())
        if offered is None:
            self._may_call = False
            what = "It accepts sealed calls, and offers no key to seal them with."
            then = "Its owner finds the reason in its log, or with portal-proxy check."
            return problem("mode", what, then)
        number, until = offered.config.key_id, offered.until
        what = f"It is called sealed, and accepts that, with key {number} until {utc(until)}."
        return well("mode", what, sealing_key=number, until=until)

    async def _compare_clocks(self) -> Step | None:
        if not self._may_call or not self._is_open:
            return None
        before = time.time()
        response = await self._ask(LONG_AGO)
        if response is None:
            return None
        if response.code != Code.OUT_OF_TIME.public:
            if response.code:
                self._failure = refusal_words(response.code)
                return None
            what = f"It took a call that was signed in 2001 ({response.status})."
            then = "It isn't safe from repeated calls. Tell its owner."
            return problem("clock", what, then)
        if response.their_time is None:
            then = "Its proxy may be of another version, or its clock before 1970."
            return problem("clock", "It refuses a call for its time, and tells no time.", then)
        skew = response.their_time + 0.5 - (before + time.time()) / 2
        if self._shift:
            self._shift = skew
        seconds = round(skew)
        facts = {"skew": seconds}
        if abs(seconds) <= 1:
            return well("clock", "Its clock and this one agree.", **facts)
        way = "ahead of" if seconds > 0 else "behind"
        what = f"Its clock is {abs(seconds)} s {way} this one."
        if abs(seconds) <= SKEW:
            return well("clock", what, **facts)
        then = "Set the clock that is wrong."
        if abs(seconds) < LIFETIME - BACKDATED:
            kib = REPLAYABLE // 1024
            then += f" Until then calls are made twice, and fail with a body above {kib} KiB."
        return problem("clock", what, then, **facts)

    async def _ask(self, at: int | None) -> Response | None:
        """Call the contact's Portal; None leaves the reason in ``_failure``."""
        try:
            return await self._ping.ask(self._document, self._clock, at)
        except NoResponse as reason:
            self._failure = str(reason)
            return None

    async def _call(self) -> Step | None:
        if not self._may_call or not self._is_open:
            return None
        if not self._failure:
            self._response = await self._ask(None)
        response, mode = self._response, self._contact.mode
        if response is None:
            then = "Its log, and the log of a web server before it, may tell more."
            return problem("round_trip", f"No {mode} call gets through: {self._failure}", then)
        if response.code not in {"", Code.NOT_ALLOWED.public}:
            self._response = None
            then = "Its log tells its owner more."
            return problem("round_trip", f"It refuses. {refusal_words(response.code)}", then)
        by = ", signed by its clock," if self._shift else ""
        what = f"A {mode} call{by} was answered, and proven, in {milliseconds(response.seconds)}."
        return well("round_trip", what, seconds=response.seconds)

    async def _known_there(self) -> Step | None:
        if self._response is None:
            return None
        if self._response.code:
            then = f"Its owner has to add this Portal: {self._command_to_add_us()}"
            return problem("known_there", "It doesn't have this Portal in its contacts.", then)
        what = "It has added this Portal. From which apps it hides it can't be told from here."
        return well("known_there", what)

    async def _known_here(self) -> Step:
        apps = self._portal.apps_that_know(self._contacts, self._contact)
        facts = {"apps": apps}
        if apps:
            what = f"It is a contact here. Apps that may know it: {', '.join(apps)}."
            return well("known_here", what, **facts)
        if not self._portal.catalogue().apps:
            return well("known_here", "It is a contact here. There are no apps.", **facts)
        what = "It is a contact here, but no app may know it: none can call it or be called."
        peer = shortest_id(self._contacts, self._contact)
        then = command_line(self._portal.folder, "apps", "allow", "APP", peer)
        return problem("known_here", what, then, **facts)

    def _command_to_add_us(self) -> str:
        """Return what the contact's owner types; it holds no matter which domain is theirs."""
        own_id = self._key.public.portal_id
        origin = str(self._portal.config.public_origin(own_id))
        return command_line(DEFAULT_FOLDER, "peers", "add", own_id, "--address", origin)

    def _clock(self) -> float:
        return time.time() + self._shift
