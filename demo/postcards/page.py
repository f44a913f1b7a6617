"""The page: HTML from cards, nothing else. Every text that isn't written here is escaped."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .box import TEXT_LIMIT, Card
from .post import Peer


@dataclass(frozen=True)
class View:
    """What one showing of the page holds; the draft is what a failed try had written."""

    owner: str
    peers: Sequence[Peer]
    received: Sequence[Card]
    sent: Sequence[Card]
    delivered: bool = False
    error: str = ""
    draft_to: str = ""
    draft_text: str = ""


def render(view: View) -> str:
    """Return the whole page as HTML."""
    title = f"{escape(view.owner)}: postcards" if view.owner else "Postcards"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/style.css">
<main>
<h1>{title}</h1>
{_message(view)}{_form(view)}
<h2>Received</h2>
{_cards(view.received, "No card has come yet.", "From")}
<h2>Sent</h2>
{_cards(view.sent, "No card has been sent yet.", "To")}
</main>
</html>
"""


def _message(view: View) -> str:
    if view.error:
        return f'<p class="message bad" role="alert">{escape(view.error)}</p>\n'
    if view.delivered:
        return '<p class="message good" role="status">Your postcard has been delivered.</p>\n'
    return ""


def _form(view: View) -> str:
    if not view.peers:
        return (
            "<p>This app knows nobody to write to. The owner of this Portal can change that:"
            " <code>portal-proxy apps allow postcards all</code></p>"
        )
    options = "\n".join(
        f'<option value="{escape(peer.id)}"{" selected" if peer.id == view.draft_to else ""}>'
        f"{escape(peer.name)} ({escape(peer.id[:6])})</option>"
        for peer in view.peers
    )
    # The first line end after <textarea> is dropped by browsers: one of ours keeps the draft's.
    return f"""<form method="post" action="/send">
<label for="to">To</label>
<select id="to" name="to" required>
{options}
</select>
<label for="text">Text</label>
<textarea id="text" name="text" required maxlength="{TEXT_LIMIT}" aria-describedby="limit">
{escape(view.draft_text)}</textarea>
<p class="hint" id="limit">At most {TEXT_LIMIT} characters.</p>
<button>Send the postcard</button>
</form>"""


def _cards(cards: Sequence[Card], none: str, word: str) -> str:
    if not cards:
        return f'<p class="hint">{none}</p>'
    return "\n".join(_card(card, word) for card in cards)


def _card(card: Card, word: str) -> str:
    at = time.gmtime(card.at)
    machine, shown = time.strftime("%Y-%m-%dT%H:%MZ", at), time.strftime("%d %b %Y, %H:%M UTC", at)
    return f"""<article>
<p dir="auto">{escape(card.text)}</p>
<p class="from">{word} <bdi>{escape(card.peer_name)}</bdi>,
<time datetime="{machine}">{shown}</time><br>
<code>{escape(card.peer_id)}</code></p>
</article>"""
