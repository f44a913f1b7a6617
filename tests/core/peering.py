"""Ada calls the guestbook on Bob's Portal: the one request that the tests of the core bend.

``Draft`` signs with code of its own, so that a wrong signature base here and in the product would
have to be wrong alike; and it signs whatever it is told to, which the product's signer doesn't.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import Access, Contact, ContactList
from proxy.core.access.rules import Rule, Rules
from proxy.core.access.template import Template
from proxy.core.errors import Code, Refusal
from proxy.core.gate import AccessContext, Admission, Request, admit
from proxy.core.http.headers import Field
from proxy.core.http.origin import parse_origin
from proxy.core.identity import PrivateKey, short_id

NOW = 1_750_000_000
NONCE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
EPOCH = bytes(range(128, 144))
"""Under which Bob's replay store stands."""
KEYS = {
    "ada": PrivateKey(bytes(32)),
    "bob": PrivateKey(bytes(range(32))),
    "cleo": PrivateKey(b"cleo" * 8),
    "eve": PrivateKey(b"evil" * 8),
}
ADA, BOB, CLEO, EVE = KEYS.values()
ADAS, BOBS, CLEOS, EVES = (key.public.portal_id for key in KEYS.values())

ORIGIN = parse_origin(f"https://{short_id(BOBS)}.p.example:8443")
HOST = f"guestbook.{short_id(BOBS)}.p.example:8443"
RULES = Rules(
    (
        Rule(b"", Access.PRIVATE),
        Rule(b"/peer", Access.PEER, (("X-User", Template.parse("{{ auth.client_id[:6] }}")),)),
        Rule(b"/public", Access.PUBLIC),
        Rule(b"/public/secret", Access.PRIVATE),
    )
)
CONTACTS = ContactList(
    (
        Contact(ADAS, "Ada", "https://ada.example"),
        Contact(CLEOS, "Cleo", "https://cleo.example"),
    ),
    {"guestbook": frozenset({ADAS}), "postcards": "all"},
)
CONTEXT = AccessContext(
    BOBS,
    Hosts(ORIGIN, ("bob.example",)),
    {"guestbook": RuleMatcher(RULES), "postcards": RuleMatcher(RULES)},
    CONTACTS,
)

DERIVED = ("@method", "@authority", "@path", "@query", "@request-target")
SEAL = bytes(range(64, 96))
"""The encapsulated key of the envelope that a sealed draft comes in."""


def key_field(key: PrivateKey) -> str:
    """Return the value of ``portal-key``."""
    return f":{base64.b64encode(key.public.raw).decode('ascii')}:"


def seal_field(seal: bytes | None = None) -> str:
    """Return the value of ``portal-seal``, of this draft's envelope where none is given."""
    return f":{base64.b64encode(seal or SEAL).decode('ascii')}:"


def epoch_field(epoch: bytes) -> str:
    """Return an epoch as a parameter's value."""
    return f":{base64.b64encode(epoch).decode('ascii')}:"


def filled(text: str) -> str:
    """Replace ``{ada}`` by Ada's ID, ``{ada-key}`` by her key as a field; the others likewise.

    ``{seal}`` is the envelope's ``portal-seal``, ``{other-seal}`` another envelope's, ``{8000}`` a
    text of so many characters, ``{host}`` the authority of Bob's guestbook, ``{now}`` and
    ``{now+1}`` Unix seconds, ``{nonce}``, ``{epoch}`` and the others of these what they say.
    """
    text = text.replace("{host}", HOST).replace("{nonce}", NONCE)
    text = text.replace("{other-nonce}", ("B" if NONCE[0] != "B" else "C") + NONCE[1:])
    text = re.sub(r"\{now(?:\+(\d+))?\}", lambda match: str(NOW + int(match[1] or 0)), text)
    text = re.sub(r"\{(\d+)\}", lambda match: "x" * int(match[1]), text)
    text = text.replace("{seal}", seal_field()).replace("{other-seal}", seal_field(bytes(32)))
    text = text.replace("{epoch}", epoch_field(EPOCH))
    text = text.replace("{other-epoch}", epoch_field(bytes(16)))
    for name, key in KEYS.items():
        text = text.replace(f"{{{name}}}", key.public.portal_id)
        text = text.replace(f"{{{name}-key}}", key_field(key))
    return text


@dataclass(frozen=True)
class Draft:
    """A request to be signed. Names and values as text, a character a byte (Latin-1).

    ``protocol`` and ``parameters`` replace what stands there by default, the latter serialised;
    None leaves it out. ``without`` takes component identifiers away, ``cover`` adds some,
    ``instead`` replaces them, ``components`` gives them all.
    """

    key: str = "ada"
    method: str = "POST"
    target: str = "/peer/a%2Fb?b&c=%E4"
    authority: str = HOST
    fields: Sequence[Sequence[str]] = (("content-type", "text/plain"), ("x-app", "one"))
    body: str = "Hello"
    protocol: Mapping[str, str | None] = field(default_factory=dict)
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    more: str = ""
    without: Sequence[str] = ()
    cover: Sequence[str] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    components: Sequence[str] | None = None
    label: str = "portal"
    sealed: bool = False
    """Whether it comes in an envelope; then ``digest`` says whether a content-digest is sent."""
    digest: bool = False

    def headers(self) -> list[tuple[str, str]]:
        """Return the fields to be signed."""
        digest = base64.b64encode(hashlib.sha256(self.body.encode("latin-1")).digest())
        own: dict[str, str | None] = {
            "content-digest": f"sha-256=:{digest.decode('ascii')}:",
            "portal-key": key_field(KEYS[self.key]),
            "portal-to": '"{bob}";app="guestbook";epoch={epoch}',
        }
        if self.sealed:
            own |= {"portal-seal": seal_field(), "content-length": str(len(self.body))}
            if not self.digest:
                del own["content-digest"]
        own |= self.protocol
        fields = [(name, filled(value)) for name, value in self.fields]
        return fields + [(name, filled(value)) for name, value in own.items() if value is not None]

    def identifiers(self) -> list[str]:
        """Return the component identifiers, serialised."""
        if self.components is not None:
            return list(self.components)
        headers = self.headers()
        listed = [f'"{name}"' for name in DERIVED]
        for name in dict.fromkeys(name for name, _ in headers):
            values = [value for other, value in headers if other == name]
            listed.append(f'"{name}"' + ("" if len(values) == 1 and values[0].isascii() else ";bs"))
        kept = [self.instead.get(each, each) for each in listed if each not in self.without]
        return [*kept, *self.cover]

    def signature_input(self) -> str:
        """Return the inner list with its parameters."""
        created = _seconds(self.parameters.get("created") or "now+0")
        expires = str(int(created) + 60) if created.isdigit() else "now+60"
        values: dict[str, str | None] = {
            "created": created,
            "expires": expires,
            "nonce": f'"{NONCE}"',
            "keyid": f'"{{{self.key}}}"',
            "tag": '"portal-peering"',
        }
        values |= {k: v for k, v in self.parameters.items() if k != "created" or v is None}
        written = "".join(
            f";{name}={_seconds(filled(value))}"
            for name, value in values.items()
            if value is not None
        )
        return f"({' '.join(self.identifiers())}){written}{self.more}"

    def sign(self) -> Request:
        """Return the request as it goes on the wire."""
        headers, text = self.headers(), self.signature_input()
        lines = [f"{each}: {self._value(each)}" for each in self.identifiers()]
        base = "\n".join([*lines, f'"@signature-params": {text}'])
        value = base64.b64encode(KEYS[self.key].sign(base.encode("latin-1"))).decode("ascii")
        wire = [
            ("host", self.authority),
            *headers,
            *([] if self.sealed else [("content-length", str(len(self.body)))]),
            ("signature-input", f"{self.label}={text}"),
            ("signature", f"{self.label}=:{value}:"),
        ]
        fields = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in wire)
        method, target = self.method.encode("latin-1"), self.target.encode("latin-1")
        return Request(method, target, fields, SEAL if self.sealed else None)

    def _value(self, identifier: str) -> str:
        quoted, *parameters = identifier.split(";")
        name = quoted.strip('"')
        path, mark, query = self.target.partition("?")
        derived = {
            "@method": self.method,
            "@authority": self.authority,
            "@path": path,
            "@query": f"?{query}",
            "@request-target": path + mark + query,
        }
        if name in derived:
            return derived[name]
        values = [value for other, value in self.headers() if other == name.lower()]
        if "bs" in parameters:
            wrapped = (
                base64.b64encode(value.encode("latin-1")).decode("ascii") for value in values
            )
            return ", ".join(f":{value}:" for value in wrapped)
        return ", ".join(values)


def _seconds(text: str) -> str:
    """Read ``now+5`` and ``now-5`` as seconds from ``NOW``; leave any other text."""
    return str(NOW + int(text[3:])) if text.startswith("now") else text


class Claims:
    """A replay store that only takes notes of what was signed under its epoch."""

    def __init__(self, refusal: Refusal | None = None) -> None:
        self.made: list[tuple[str, bytes, bytes]] = []
        self._refusal = refusal

    def __call__(self, portal_id: str, nonce: bytes, epoch: bytes | None) -> None:
        """Take the note, or refuse."""
        if self._refusal is not None:
            raise self._refusal
        if epoch != EPOCH:
            what = "no epoch" if epoch is None else f"the epoch {epoch.hex()}"
            raise Refusal(Code.OUT_OF_TIME, what, now=NOW)
        self.made.append((portal_id, nonce, epoch))


def ask(
    request: Request, context: AccessContext = CONTEXT, *, now: float = NOW
) -> Admission | Code:
    """Return what the gate makes of ``request``: the admission, or the code of the refusal.

    No refused request may have claimed a nonce.
    """
    claims = Claims()
    try:
        return admit(request, context, now, claims)
    except Refusal as refusal:
        assert not claims.made, "refused, but its nonce was claimed"
        return refusal.code


def unsigned(
    target: str, *fields: tuple[str, str], method: str = "GET", host: str = HOST
) -> Request:
    """Return a request that no Portal signed."""
    pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields)
    own = ((b"host", host.encode("latin-1")), *pairs)
    return Request(method.encode("latin-1"), target.encode("latin-1"), own)


def with_field(request: Request, name: str, value: str) -> Request:
    """Add a field, as anybody on the way can."""
    return replace(request, fields=(*request.fields, (name.encode(), value.encode("latin-1"))))


def without_field(request: Request, name: str) -> Request:
    """Take a field away."""
    return replace(request, fields=tuple(p for p in request.fields if p[0] != name.encode()))


def edited(request: Request, edits: Sequence[Sequence[str]]) -> Request:
    """Change a signed request on the way.

    An edit is ``["add", name, value]``, ``["drop", name]``, ``["set", name, value]`` (at its
    place), ``["replace", name, old, new]`` in its value, ``["method", m]`` or ``["target", t]``.
    """
    for verb, *rest in edits:
        words = [filled(word) for word in rest]
        if verb == "add":
            request = with_field(request, *words)
        elif verb == "drop":
            request = without_field(request, *words)
        elif verb == "method":
            request = replace(request, method=words[0].encode("latin-1"))
        elif verb == "target":
            request = replace(request, target=words[0].encode("latin-1"))
        else:
            request = replace(request, fields=tuple(_edit(p, verb, words) for p in request.fields))
    return request


def _edit(pair: Field, verb: str, words: list[str]) -> Field:
    name, *values = (word.encode("latin-1") for word in words)
    if pair[0] != name:
        return pair
    if verb == "set":
        return name, values[0]
    assert verb == "replace", verb
    assert values[0] in pair[1], f"{values[0]!r} isn't in {pair!r}"
    return name, pair[1].replace(values[0], values[1], 1)
