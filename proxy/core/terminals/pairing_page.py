"""The pairing page as HTML: whole in itself, and of use without its script.

Its policy lets run what is written here, by its hash, and nothing else. The script spares typing:
a link's code stands behind its ``#``, where it reaches no server, and no log.
Source: CSP level 3; WAI-ARIA 1.2 for what is said aloud.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from html import escape

from proxy.core.display_names import MAX_NAME_LENGTH
from proxy.core.http.headers import Field
from proxy.core.http.origin import Origin, parse_origin
from proxy.core.terminals.return_address import PAIR

_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbf8f3; --card: #fff; --ink: #211d18; --faint: #5f574c; --line: #8d8478;
  --accent: #0b5a87; --on-accent: #fff; --bad: #a3231a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --card: #1f2226; --ink: #ece9e4; --faint: #b3ada3; --line: #7d7a74;
    --accent: #8ecbf2; --on-accent: #10222e; --bad: #ffaea6;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 34rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; line-height: 1.2; }
label { display: block; font-weight: 600; margin: 1.2rem 0 .3rem; }
input, button {
  font: inherit; width: 100%; min-height: 2.75rem; padding: .6rem .7rem;
  border: 1px solid var(--line); border-radius: .4rem; background: var(--card); color: var(--ink);
}
#code { font-family: ui-monospace, monospace; font-size: 1.3rem; letter-spacing: .1em;
  text-transform: uppercase; }
[aria-invalid=true] { border: 2px solid var(--bad); }
button {
  margin-top: 1.4rem; border-color: var(--accent); background: var(--accent);
  color: var(--on-accent); font-weight: 600; cursor: pointer;
}
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
.hint { color: var(--faint); font-size: .9375rem; margin: .3rem 0 0; }
.message { padding: .6rem .8rem; border-left: .3rem solid; background: var(--card); }
.bad { color: var(--bad); }
code { font-family: ui-monospace, monospace; }
@media (min-width: 30rem) { button { width: auto; padding-inline: 1.6rem; } }
"""
_SCRIPT = """
const take = () => {
  const found = /^#code=([0-9A-Za-z-]{1,40})$/.exec(location.hash);
  if (!found) return;
  document.getElementById("code").value = found[1];
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("name").focus();
};
addEventListener("hashchange", take);
take();
"""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<main>
<h1>{heading}</h1>
{message}{body}
</main>
<script>{script}</script>
</html>
"""
_FORM = """\
<p>The private pages of this Portal are for its owner's own devices. To make this device one of
them, enter a code. The owner gets one on the machine of the Portal, with
<code>portal-proxy terminals pair</code>.</p>
<form method="post" action="{action}" accept-charset="utf-8">
<label for="code">Code</label>
<input id="code" name="code" value="{code}" required maxlength="32" autocomplete="one-time-code"
 autocapitalize="characters" autocorrect="off" spellcheck="false" autofocus
 aria-describedby="{about}"{state}>
<p class="hint" id="about-code">Eight letters and digits. A code is good once, for ten minutes.</p>
<label for="name">A name for this device</label>
<input id="name" name="name" value="{name}" required maxlength="{longest}" autocomplete="off"
 aria-describedby="about-name">
<p class="hint" id="about-name">So that you know it again in the list of your devices.</p>
<input type="hidden" name="to" value="{to}">
<button>Pair this device</button>
</form>{onwards}"""


@dataclass(frozen=True)
class View:
    """What one showing of the page holds."""

    owner: str
    """What the Portal is called."""
    return_address: str | None = None
    """Where the browser goes afterwards: one of this Portal's own addresses."""
    name: str = ""
    code: str = ""
    error: str = ""
    """A sentence; "" where nothing went wrong."""
    paired_as: str = ""
    """The name under which this browser is paired already."""


def render(view: View) -> bytes:
    heading = f"Pair this device with the Portal of {_name(view.owner)}"
    title = f"Pair with {escape(view.owner)}"
    message = _paired(view)
    if view.error:
        title = f"Error: {title}"
        message = f'<p class="message bad" id="error" role="alert">{escape(view.error)}</p>\n'
    page = _PAGE.format(
        title=title,
        style=_STYLE,
        heading=heading,
        message=message,
        body=_form(view),
        script=_SCRIPT,
    )
    return page.encode("utf-8", "replace")


def page_fields(portal: Origin, *, to_apps: bool = True) -> tuple[Field, ...]:
    """Return the fields that the page goes out with; ``portal`` is the Portal's own origin.

    Browsers apply ``form-action`` to where a form's response leads as well: to the apps, here, if
    ``to_apps``.
    """
    apps = f" {portal.scheme}://*.{portal.authority}" if to_apps else ""
    policy = (
        f"default-src 'none'; style-src '{_hash(_STYLE)}'; script-src '{_hash(_SCRIPT)}'; "
        f"form-action 'self' {portal}{apps}; base-uri 'none'; frame-ancestors 'none'"
    )
    return (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode("ascii")),
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    )


def _form(view: View) -> str:
    state = ' aria-invalid="true"' if view.error else ""
    about = "error about-code" if view.error else "about-code"
    onwards = ""
    if view.return_address is not None:
        host = parse_origin("/".join(view.return_address.split("/")[:3])).host
        onwards = f'\n<p class="hint">Then you go on to {_name(host)}.</p>'
    return _FORM.format(
        action=PAIR.decode("ascii"),
        code=escape(view.code),
        state=state,
        about=about,
        name=escape(view.name),
        longest=MAX_NAME_LENGTH,
        to=escape(view.return_address or ""),
        onwards=onwards,
    )


def _paired(view: View) -> str:
    if not view.paired_as:
        return ""
    onwards = f' <a href="{escape(view.return_address)}">Go on</a>' if view.return_address else ""
    return (
        f'<p class="message" role="status">This browser is paired already, as '
        f"{_name(view.paired_as)}.{onwards}</p>\n"
    )


def _name(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>"


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
