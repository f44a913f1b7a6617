"""The conversation: what is done on the stage, what must come of it, and what is told of it."""

import json
import time
from http import HTTPStatus
from urllib.parse import urlencode

from demo import eavesdropper
from demo.browser import Browser, pairs
from demo.report import check, tell, wait_until
from demo.stage import DOMAIN, DemoError, Portal, Stage, visit

NAMES = {"ada": "Ada", "bob": "Bob", "cleo": "Cleo"}
APPS = ("postcards", "files")


def acquaint(stage: Stage) -> dict[str, Portal]:
    """Make the owners' contact lists with the real commands; what is there already is kept."""
    portals = {
        key: Portal(key, name, stage.command(key, "id").strip(), stage.port(key))
        for key, name in NAMES.items()
    }
    for portal in portals.values():
        tell(f"   {portal.name}: {portal.id}")
    tell("   Introducing them to each other: portal-proxy peers add, apps allow ...")
    for key, other in (("ada", "bob"), ("ada", "cleo"), ("bob", "ada"), ("cleo", "ada")):
        _add(stage, key, portals[other])
    # Ada's postcard box may know Bob; Cleo is her contact too, but not that app's.
    stage.command("ada", "apps", "allow", "postcards", portals["bob"].id)
    for key, app in (("ada", "files"), *((k, a) for k in ("bob", "cleo") for a in APPS)):
        stage.command(key, "apps", "allow", app, "all")
    return portals


def _add(stage: Stage, key: str, peer: Portal) -> None:
    rows = json.loads(stage.command(key, "peers", "list", "--json"))
    modes = [row["mode"] for row in rows if row["id"] == peer.id]
    if modes == ["sealed"]:
        return
    if modes:
        # Added by a demo of long ago, whose calls were signed. These Portals take none of those.
        stage.command(key, "peers", "remove", peer.id)
    address = f"http://{peer.id[:6]}.{DOMAIN}:{peer.port}"
    options = ("--address", address, "--connect", stage.connect(key, peer.key))
    stage.command(key, "peers", "add", peer.id, "--name", peer.name, *options)


def converse(stage: Stage, portals: dict[str, Portal]) -> None:
    """Run every step; raises ``DemoError`` at the first that isn't as it must be."""
    ada, bob, cleo = portals["ada"], portals["bob"], portals["cleo"]
    text = f"Greetings from Ada! ({time.strftime('%d %b %Y, %H:%M:%S')})"
    browsers = pairs(stage, portals)
    _asks_for_peers(stage, ada, bob, cleo)
    _sends_a_card(stage, browsers, text)
    call = eavesdropper.overhear(stage, ada, bob, text)
    _cleo_is_hidden(stage, ada, browsers["cleo"], text)
    _serves_files(stage, ada)
    _looks_after_contacts(stage, ada, bob)
    eavesdropper.attack(stage, call, ada, browsers["bob"], text)
    _removes_the_browsers(stage, browsers)


def _asks_for_peers(stage: Stage, ada: Portal, bob: Portal, cleo: Portal) -> None:
    tell("\n2. Ada's postcard box asks its Portal: GET http://portal_core/protected/peers")
    peers: list[dict[str, object]] = []

    def knows_bob() -> bool:
        response = stage.call_as_app(ada.key, "postcards", "GET", "/protected/peers")
        if response.status == HTTPStatus.OK:
            peers[:] = json.loads(response.body)
        return any(peer["id"] == bob.id for peer in peers)

    wait_until("Ada's postcard box seeing Bob among its peers", knows_bob)
    for peer in peers:
        tell(f"   {json.dumps(peer)}")
    if any(peer["id"] == cleo.id for peer in peers):
        raise DemoError("Ada's postcard box sees Cleo, who is hidden from it")
    tell("   It sees Bob, and not Cleo, whom Ada hides from this app.")


def _sends_a_card(stage: Stage, browsers: dict[str, Browser], text: str) -> None:
    at_adas, at_bobs = browsers["ada"], browsers["bob"]
    ada, bob = at_adas.portal, at_bobs.portal
    tell("\n3. Ada writes to Bob on her page; her app calls the same app at Bob's Portal:")
    tell(f"   POST http://portal_core/internal/call_peer/{bob.id[:6]}.../peer/postcards")
    form = urlencode({"to": bob.id, "text": text}).encode()
    fields = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": ada.page("postcards").rstrip("/"),
    }
    check(at_adas.visit("postcards", "POST", "/send", form, fields), 303)
    tell("\n4. What Bob's postcard box got, in its own log:")
    said = [
        line for line in stage.log(bob.key, "postcards").splitlines() if "a card came in" in line
    ]
    proof = ("X-Ptl-Client-Type: peer", f"X-Ptl-Client-Id: {ada.id}")
    if not said or not all(part in said[-1] for part in proof):
        raise DemoError(f"Bob's app didn't get Ada's full ID: {said[-1:]}")
    tell(f"   {said[-1][said[-1].index('a card came in') :]}")
    if at_bobs.cards_with(text) != 1:
        raise DemoError("the card isn't on Bob's page")
    tell(f"   The card is on Bob's page: {text}")


def _cleo_is_hidden(stage: Stage, ada: Portal, at_cleos: Browser, text: str) -> None:
    cleo = at_cleos.portal
    tell("\n6. Ada's postcard box tries Cleo, whom it may not know, and then nobody at all:")
    nobody = "a" * len(cleo.id)
    responses = [
        stage.call_as_app(
            ada.key, "postcards", "POST", f"/internal/call_peer/{portal_id}/peer/postcards"
        )
        for portal_id in (cleo.id, nobody)
    ]
    for response in responses:
        check(response, 404, "no_such_peer")
    if responses[0].body.replace(cleo.id.encode(), nobody.encode()) != responses[1].body:
        raise DemoError("the app can tell a hidden peer from none")
    tell("   Hidden and unknown look alike.")
    tell("\n7. It holds the other way too: Cleo's postcard box calls Ada's.")
    path = f"/internal/call_peer/{ada.id}/peer/postcards"
    check(stage.call_as_app(cleo.key, "postcards", "POST", path), 403, "not_allowed")
    if at_cleos.cards_with(text):
        raise DemoError("Cleo got the card")
    tell("   And Cleo has no card.")


def _serves_files(stage: Stage, ada: Portal) -> None:
    tell("\n8. Ada's second app is Python's own http.server. A visitor asks for a public file:")
    check(visit(ada, "files", "GET", "/public/hello.txt"), 200)
    tell("   ... for one that is for peers:")
    check(visit(ada, "files", "GET", "/shared/for-peers.txt"), 401, "proof_required")
    tell("   ... for one that is the owner's:")
    check(visit(ada, "files", "GET", "/private/diary.txt"), 401, "proof_required")
    tell("   Bob, who is a peer, asks for the one for peers:")
    path = f"/internal/call_peer/{ada.id}/shared/for-peers.txt"
    check(stage.call_as_app("bob", "files", "GET", path), 200)


def _looks_after_contacts(stage: Stage, ada: Portal, bob: Portal) -> None:
    tell("\n9. Ada, who owns the first Portal, checks a contact: portal-proxy ping Bob")
    for line in stage.command(ada.key, "ping", bob.id).splitlines()[1:]:
        tell(f"   {line}")


def _removes_the_browsers(stage: Stage, browsers: dict[str, Browser]) -> None:
    tell("\n11. The owners remove the browser: terminals remove. It asks for Ada's cards again:")
    for browser in browsers.values():
        browser.leave(stage)
    fields = {"Accept": "application/json"}
    check(browsers["ada"].visit("postcards", "GET", "/", fields=fields), 401, "proof_required")
