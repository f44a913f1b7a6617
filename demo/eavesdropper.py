"""Somebody on the wire between two proxies: what they see of a call, and what they can try."""

import base64
import json

from demo import attacks
from demo.browser import Browser
from demo.report import check, tell, wait_until
from demo.stage import DemoError, Portal, Stage
from demo.wire import Exchange, exchanges, marks_in
from proxy.core.identity import PublicKey
from proxy.core.sealing.envelope import GATEWAY


def overhear(stage: Stage, ada: Portal, bob: Portal, text: str) -> Exchange:
    """Show Ada's call to Bob as the relay between their proxies saw it; return it."""
    tell("\n5. Ada's proxy reached Bob's through a relay, which writes down all that passes:")

    def has_seen_it() -> bool:
        passed = exchanges(stage.overheard())
        return all(each.is_whole for each in passed) and any(map(_is_call, passed))

    wait_until("the relay's seeing the call", has_seen_it)
    passed = exchanges(stage.overheard())
    tell(f"   a connection from {passed[0].came_from} to {bob.host}, and on it")
    for exchange in passed:
        for line in exchange.told():
            tell(f"   {line}")
    seen = b"".join(each.request + each.response for each in passed)
    marks = _marks(ada, attacks.public_document(ada).key, text)
    marks["the app's response"] = (b'"received"',)
    if shown := marks_in(seen, marks):
        raise DemoError(f"the relay can read {', '.join(shown)}")
    tell(
        "   So it knows that somebody at that address called Bob's Portal, and when. It can't tell"
    )
    tell(f"   who, nor what about. Looked for in all {len(seen)} bytes, and not there:")
    tell(f"   {', '.join(marks)}.")
    return next(each for each in reversed(passed) if _is_call(each))


def attack(stage: Stage, call: Exchange, ada: Portal, at_bobs: Browser, text: str) -> None:
    """Try on Bob's Portal what can be tried by whoever has overheard ``call``."""
    bob = at_bobs.portal
    tell("\n10. Whoever runs that relay tries what they can.")
    _replay(stage, call, bob)
    tell("   They change one bit of it:")
    changed = attacks.one_bit_off(call.request_body)
    check(attacks.send(bob, attacks.enveloped(bob.host, changed)), 400, "sealing_key_unknown")
    tell("   They write a card in Ada's name, sign it with a key of their own, and seal it to Bob:")
    victim = attacks.public_document(ada).key
    envelope = attacks.Envelope(bob)
    forged = envelope.around(attacks.forged(victim, bob, envelope.seal))
    check(envelope.open(attacks.send(bob, forged)), 401, "signature_invalid")
    tell("   They leave the signature out, and merely claim to be a peer:")
    envelope = attacks.Envelope(bob)
    unsigned = envelope.around(attacks.unsigned(bob))
    check(envelope.open(attacks.send(bob, unsigned)), 401, "proof_required")
    tell("   They send the card that they signed without an envelope:")
    clear = attacks.in_clear(victim, bob)
    check(attacks.send(bob, clear), 403, "mode_not_accepted")
    marks = _marks(ada, victim, attacks.FORGED_TEXT)
    if marks_in(clear, marks) != list(marks):
        raise DemoError("the search for what a relay can read misses what is there")
    tell(f"   All can be read on the way of such a call: {', '.join(marks)}.")
    if at_bobs.cards_with(text) != 1 or at_bobs.cards_with(attacks.FORGED_TEXT):
        raise DemoError("Bob's box isn't as it was before the attacks")
    tell("   Bob's box holds Ada's card once, and nothing else has come.")


def _replay(stage: Stage, call: Exchange, bob: Portal) -> None:
    """Send the call again, byte for byte: refused, though whoever sent it can't read that."""
    tell("   They send Ada's call again, byte for byte:")
    before = len(_refused_replays(stage, bob))
    response = attacks.send(bob, call.request)
    if not attacks.is_sealed(response):
        raise DemoError(f"the response isn't sealed: {response}: {response.text[:300]}")
    if len(response.body) != len(call.response_body):
        raise DemoError("the response's size tells that it isn't the one that Ada got")
    size = len(response.body)
    tell(f"   {response.status} and {size} sealed bytes, as many as Ada got. They can't")
    tell("   read that the response is another one. Bob can, in his proxy's log:")
    wait_until("the refusal in Bob's log", lambda: len(_refused_replays(stage, bob)) > before)
    line = _refused_replays(stage, bob)[-1]
    where = "{method} {host} {path}".format_map(line)
    tell(f"   {where} {line['outcome']}: {line['code']}: {line['detail']}")


def _refused_replays(stage: Stage, portal: Portal) -> list[dict[str, str]]:
    """Return the lines of the log that tell of calls which came a second time."""
    said = stage.log(portal.key, "proxy").splitlines()
    lines = [json.loads(line) for line in said if line.startswith("{") and line.endswith("}")]
    return [line for line in lines if line.get("code") == "replayed"]


def _is_call(exchange: Exchange) -> bool:
    return exchange.is_whole and exchange.request_head.target == GATEWAY


def _marks(ada: Portal, key: PublicKey, text: str) -> dict[str, tuple[bytes, ...]]:
    """Return by what a call of Ada's to a postcard box could be known, in each form it can have."""
    return {
        "Ada's ID": (ada.id.encode(), ada.id[:6].encode()),
        "Ada's key": (key.raw, base64.b64encode(key.raw).rstrip(b"=")),
        "the app": (b"postcards",),
        "the path": (b"/peer/",),
        "the card": (text.encode(),),
    }
