"""Every refusal the proxy gives, with its status and public code; one table for code and docs.

A ``Refusal`` is the caller's fault. Its code and title are public, and so is a ``hint`` that it may
have; ``detail`` is for the owner's log alone and never leaves the proxy. What the app or the peer
behind us does wrong is an ``UpstreamFailed`` and becomes a refusal in one place,
``proxy.transfer.failures``. Anything else that is raised is our own bug and becomes a 500 in
``proxy.transfer.relay``.
"""

from dataclasses import dataclass
from enum import Enum, unique

from proxy.core.epoch import Epoch


@unique
class Code(Enum):
    """Stable public codes: name, HTTP status, a sentence for the caller (docs/protocol.md)."""

    BAD_TARGET = ("bad_target", 400, "The request target can't be judged safely.")
    BAD_FIELD = ("bad_field", 400, "A header field can't be judged safely.")
    BAD_REQUEST = ("bad_request", 400, "The request isn't well formed.")
    BAD_TUNNEL = (
        "bad_tunnel",
        400,
        "A tunnel leads to port 80 of a peer's app, or of portal_core: write the URL with no port.",
    )
    BAD_HANDSHAKE = ("bad_handshake", 400, "The WebSocket handshake isn't well formed.")
    SEALING_KEY_UNKNOWN = ("sealing_key_unknown", 400, "No key in use here opens this envelope.")
    ENVELOPE_BROKEN = ("envelope_broken", 400, "The sealed message broke off or isn't well formed.")
    PROOF_REQUIRED = ("proof_required", 401, "This needs proof of who is calling.")
    TOKEN_REQUIRED = ("token_required", 401, "The app must show its token.")
    TOKEN_UNKNOWN = ("token_unknown", 401, "The token isn't one of an app of this Portal.")
    DEVICE_TOKEN_REFUSED = ("device_token_refused", 401, "The device token isn't good here.")
    SIGNATURE_MALFORMED = ("signature_malformed", 401, "The signature isn't in the right form.")
    SIGNATURE_COVERAGE = ("signature_coverage", 401, "The signature doesn't cover what it must.")
    OUT_OF_TIME = ("out_of_time", 401, "The signature isn't valid at this time.")
    KEY_MISMATCH = ("key_mismatch", 401, "The key isn't that of the stated Portal ID.")
    WRONG_RECIPIENT = ("wrong_recipient", 401, "The request was signed for somebody else.")
    WRONG_ENVELOPE = ("wrong_envelope", 401, "The request was signed for another envelope.")
    SIGNATURE_INVALID = ("signature_invalid", 401, "The signature doesn't verify.")
    DIGEST_MISMATCH = ("digest_mismatch", 401, "The body isn't the one that was signed.")
    NOT_ALLOWED = ("not_allowed", 403, "The caller is known by its key, but isn't allowed here.")
    DEVICE_TOKEN_EXPOSED = (
        "device_token_exposed",
        403,
        "The device token came over plain http; it is taken over https alone.",
    )
    MODE_NOT_ACCEPTED = ("mode_not_accepted", 403, "Calls in this mode aren't accepted here.")
    NOT_A_PEER_HOST = ("not_a_peer_host", 403, "This listener leads only to peers' apps.")
    WRITE_HTTP = (
        "write_http",
        403,
        "Write http:// in place of https://: the proxy itself protects the call.",
    )
    NO_INTERNET = (
        "no_internet",
        403,
        "This is no way to the internet: set NO_PROXY for hosts that aren't peers'.",
    )
    FOREIGN_PAGE = ("foreign_page", 403, "This form wasn't sent from the Portal's own page.")
    FROM_A_BROWSER = ("from_a_browser", 403, "Apps are served here, and browsers aren't.")
    PAIRING_REFUSED = ("pairing_refused", 403, "The pairing code isn't good, or not any more.")
    NO_SUCH_APP = ("no_such_app", 404, "There is no such app on this Portal.")
    NO_SUCH_PEER = ("no_such_peer", 404, "There is no such peer.")
    NOT_FOUND = ("not_found", 404, "There is nothing here.")
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, "That method isn't served here.")
    PROXY_TOKEN_REQUIRED = ("token_required", 407, TOKEN_REQUIRED[2])
    PROXY_TOKEN_UNKNOWN = ("token_unknown", 407, TOKEN_UNKNOWN[2])
    REQUEST_TIMEOUT = ("request_timeout", 408, "The request took too long to arrive.")
    REPLAYED = ("replayed", 409, "This request was seen before; it was perhaps carried out.")
    LENGTH_REQUIRED = ("length_required", 411, "The request must tell the length of its body.")
    TOO_LARGE = ("too_large", 413, "The body is larger than what is taken here.")
    TARGET_TOO_LONG = ("target_too_long", 414, "The path is longer than what is taken here.")
    NOT_AN_ENVELOPE = ("not_an_envelope", 415, "Only sealed messages are taken here.")
    MISDIRECTED = ("misdirected", 421, "This host isn't served here.")
    WEBSOCKET_VERSION = ("websocket_version", 426, "Only version 13 of WebSockets is spoken here.")
    TOO_MANY_ATTEMPTS = ("too_many_attempts", 429, "Too many wrong codes; try again later.")
    HEAD_TOO_LARGE = ("head_too_large", 431, "The request's head is larger than what is taken.")
    TOO_MANY_REQUESTS = ("too_many_requests", 429, "The caller has too many requests running here.")
    RATE_LIMITED = ("rate_limited", 429, "Requests come faster than they are taken here.")
    INTERNAL = ("internal", 500, "The proxy made a mistake.")
    UPGRADE_UNSUPPORTED = ("upgrade_unsupported", 501, "Upgrades aren't carried between Portals.")
    APP_UNREACHABLE = ("app_unreachable", 502, "The app can't be reached.")
    APP_FAILED = ("app_failed", 502, "The app's answer broke off or can't be used.")
    REDIRECTS_TO_ITSELF = (
        "redirects_to_itself",
        502,
        "The app redirects to itself; its owner can set peer_scheme.",
    )
    ANSWER_TOO_LARGE = ("answer_too_large", 502, "The answer is larger than can be signed.")
    PEER_UNREACHABLE = ("peer_unreachable", 502, "The peer can't be reached.")
    PEER_UNTRUSTED = ("peer_untrusted", 502, "The peer's answer can't be believed.")
    NO_SEALING_KEY = ("no_sealing_key", 502, "The peer offers no key to seal a call with.")
    OUTCOME_UNKNOWN = ("outcome_unknown", 502, "The call was perhaps carried out; don't repeat it.")
    REPLAY_STORE_DOWN = ("replay_store_down", 503, "Replays can't be ruled out just now.")
    CONTACTS_UNAVAILABLE = (
        "contacts_unavailable",
        503,
        "Who is a contact can't be told just now.",
    )
    APP_UNAVAILABLE = ("app_unavailable", 503, "What the app asks for can't be told just now.")
    STORAGE_FULL = ("storage_full", 503, "There is no room to hold the body just now.")
    APP_BUSY = ("app_busy", 503, "The app has as many requests running as it may.")
    TOO_MANY_CONNECTIONS = ("too_many_connections", 503, "No more connections are taken just now.")
    PAIRING_STORE_DOWN = ("pairing_store_down", 503, "No device can be paired just now.")
    APP_TIMEOUT = ("app_timeout", 504, "The app took too long.")
    PEER_TIMEOUT = ("peer_timeout", 504, "The peer took too long.")
    OUTCOME_UNKNOWN_LATE = ("outcome_unknown", 504, OUTCOME_UNKNOWN[2])
    CANNOT_HOLD = ("cannot_hold", 507, "The app must be told the body's length; it is too large.")
    LOOP_DETECTED = ("loop_detected", 508, "The request came back to the app that it was for.")
    VERSION_UNSUPPORTED = (
        "version_unsupported",
        505,
        "Only HTTP/1.1 and HTTP/1.0 are spoken here.",
    )

    def __init__(self, public: str, status: int, title: str) -> None:
        self.public = public
        self.status = status
        self.title = title


CHALLENGE = b"Portal"
"""What 401 asks for where no program has a form for it: RFC 9110, section 15.5.2, wants something.
"""
_NO_UTF_8 = {chr(0xDC00 + byte): f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
"""What stands for a byte of a file's name that isn't UTF-8 (PEP 383), and how it is shown."""


class Refusal(Exception):
    """A request that is refused: ``code`` for the caller, ``detail`` for the owner's log alone.

    ``hint`` is for the caller too: what to do, in a sentence; "" is none.
    """

    def __init__(  # noqa: PLR0913 - each of the last ones is for a code or two
        self,
        code: Code,
        detail: str = "",
        *,
        now: int | None = None,
        epoch: Epoch | None = None,
        allow: str = "GET, HEAD",
        retry_after: int | None = None,
        hint: str = "",
        challenge: bytes = CHALLENGE,
    ) -> None:
        super().__init__(f"{code.public}: {detail}" if detail else code.public)
        self.code = code
        self.detail = detail
        self.now = now
        """Our clock in Unix seconds, with ``OUT_OF_TIME`` alone: a sender corrects its own."""
        self.epoch = epoch
        """The epoch to sign under, told with ``now``; None where the replay store is down."""
        self.allow = allow
        """The methods that are served, for ``METHOD_NOT_ALLOWED``."""
        self.hint = hint
        self.retry_after = retry_after
        """Seconds until it may be tried again: with ``TOO_MANY_ATTEMPTS`` and ``RATE_LIMITED``."""
        self.challenge = challenge
        """What is asked for, with 401."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file, for a person who will mend it.

    ``file`` is the path as the user knows it, ``place`` where in it ("line 3, column 5",
    "paths./peer.access", or "" for the whole file), ``what`` says what is wrong and expected. A
    file's name may be no text, and what a program says of it several lines; as a string a problem
    is one line that can be shown anywhere.
    """

    file: str
    place: str
    what: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.place}" if self.place else self.file
        return shown(f"{where}: {self.what}")

    def members(self) -> dict[str, str]:
        """Return the three as text that can be shown anywhere, for JSON."""
        parts = {"file": self.file, "place": self.place, "what": self.what}
        return {name: shown(text) for name, text in parts.items()}


def shown(text: str) -> str:
    """Return ``text`` with what isn't printable escaped, bytes that are no UTF-8 likewise."""
    return text if text.isprintable() else "".join(map(_shown_character, text))


def _shown_character(character: str) -> str:
    if character.isprintable():
        return character
    return _NO_UTF_8.get(character) or repr(character)[1:-1]


class Invalid(Exception):
    """A file or value that can't be used: carries every problem in it, never only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class LaterVersion(Invalid):
    """A file is of a later version than this program knows, or nobody knows of which.

    Perhaps it is right, so it is left as it is.
    """
