"""What a running request depends on, its subject, and whether that was removed: then it ends.

Removals alone (of a terminal its end, too, and that its app takes no device tokens any more; and
that nobody can tell any more who was removed): an app whose rules change, or a contact that is
renamed, moves or is called in another mode, is there as before, and what began goes on.
"""

from typing import Literal, NamedTuple

from proxy.core.access.policy import Caller
from proxy.core.errors import Code, Refusal
from proxy.core.gate import AccessContext

_NO_CONTACTS = Refusal(Code.CONTACTS_UNAVAILABLE, "the contact list can't be read")


class Subject(NamedTuple):
    """What one request or call depends on; those with equal subjects are revoked together."""

    direction: Literal["in", "out"]
    """``out`` is a call of an app's."""
    app: str | None
    """The app that is called, or calls; None is the Portal itself."""
    kind: Literal["anonymous", "peer", "terminal"]
    """Who is at the other end: the caller, or the peer that is called."""
    id: str = ""
    """That one's full ID; "" where there is none."""
    entrance: str = ""
    """The way by the app's own entrance, if the call came there; "" at the listener of all."""


def subject_of_request(caller: Caller, app: str | None) -> Subject:
    """Return what a request of ``caller`` for ``app`` depends on."""
    return Subject("in", app, caller.type, caller.id)


def subject_of_call(app: str | None, portal_id: str = "", entrance: str = "") -> Subject:
    """Return what a call of ``app`` to that peer depends on; "" is a request to this Portal."""
    return Subject("out", app, "peer" if portal_id else "anonymous", portal_id, entrance)


def revocation_reason(subject: Subject, context: AccessContext, now: float) -> Refusal | None:
    """Return why a request may not go on, as the refusal that a new one gets; None if it may.

    ``now`` is in Unix seconds. A terminal loses what it has on public paths, too: the app was told
    who it is.
    """
    if subject.direction == "out":
        return _reason_of_call(subject, context)
    if subject.kind == "peer" and (reason := _reason_of_peer(subject, context)):
        return reason
    if subject.app is not None and subject.app not in context.apps:
        if subject.app in context.unavailable:
            return _unavailable(subject.app)
        return Refusal(Code.NO_SUCH_APP, f"{subject.app} was removed")
    if subject.kind == "terminal":
        terminal = context.terminals.find(subject.id)
        if terminal is None or not terminal.is_valid(now):
            return Refusal(Code.PROOF_REQUIRED, f"{subject.id} isn't a terminal any more")
        if terminal.app and terminal.app not in context.device_tokens:
            what = f"{subject.id} came by a token, which {terminal.app} doesn't take any more"
            return Refusal(Code.DEVICE_TOKEN_REFUSED, what)
    return None


def _reason_of_peer(subject: Subject, context: AccessContext) -> Refusal | None:
    """Look for a contact that is gone, or hidden from an app that is still there."""
    if context.contacts is None:
        return _NO_CONTACTS
    if context.contacts.find(subject.id) is None:
        return Refusal(Code.NOT_ALLOWED, f"{subject.id} isn't a contact any more")
    app = subject.app
    if app is not None and app in context.apps and not context.contacts.may_know(app, subject.id):
        return Refusal(Code.NOT_ALLOWED, f"{app} may not know {subject.id} any more")
    return None


def _reason_of_call(subject: Subject, context: AccessContext) -> Refusal | None:
    app = subject.app
    if app is None:
        return None
    if app not in context.apps:
        if app in context.unavailable:
            return _unavailable(app)
        return Refusal(Code.TOKEN_UNKNOWN, f"{app} was removed")
    if subject.entrance and context.entrances.get(app) != subject.entrance:
        return Refusal(Code.TOKEN_REQUIRED, f"{app} has no way in by {subject.entrance} any more")
    if not subject.id:
        return None
    if context.contacts is None:
        return _NO_CONTACTS
    if not context.contacts.may_know(app, subject.id):
        return Refusal(Code.NO_SUCH_PEER, f"{app} may not know {subject.id} any more")
    return None


def _unavailable(app: str) -> Refusal:
    return Refusal(Code.APP_UNAVAILABLE, f"the files of {app} can't be read")
