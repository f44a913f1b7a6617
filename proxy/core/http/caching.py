"""What a cache in front of the Portal may keep of a response, and hand to the next client.

It can't tell a page that was opened by a cookie or a signature from the same page for everybody:
for it they have one URL. So what anybody got but an anonymous caller is for that one alone.
``Vary`` doesn't help: caches keep variants by the fields of requests, not by who sends them.
Sources: RFC 9111, section 5.2; RFC 9213; nginx, Varnish and CDNs for their own fields.
"""

import re

from proxy.core.http.headers import QUOTED_STRING, TOKEN, Field, Fields, values_of

CACHE_CONTROL = b"cache-control"
NO_STORE: Field = (CACHE_CONTROL, b"no-store")

_FOR_SHARED_CACHES = frozenset(
    {b"surrogate-control", b"edge-control", b"x-accel-expires", b"x-litespeed-cache"}
)
_TARGETED = b"-cache-control"
_LONGEST = 2048
"""Bytes of ``Cache-Control`` that are read; what apps say has some hundred."""
# No blank is given back: with two runs of them side by side, many would be read in many ways.
_ARGUMENT = rb"(?:[ \t]*+=[ \t]*+(?:" + TOKEN + rb"|" + QUOTED_STRING + rb"))?"
_DIRECTIVE = re.compile(rb"[ \t]*+(?:(" + TOKEN + rb")" + _ARGUMENT + rb")?[ \t]*+(?:,|\Z)")
_DROPPED = frozenset({b"public", b"s-maxage"})
_PRIVATE = frozenset({b"private", b"no-store"})


def is_for_shared_caches(name: bytes) -> bool:
    """Tell whether the field ``name`` (lower case) is read by shared caches alone.

    Those that know theirs don't look at ``Cache-Control`` beside it.
    """
    return name in _FOR_SHARED_CACHES or (name.endswith(_TARGETED) and name != CACHE_CONTROL)


def kept_from_shared_caches(fields: Fields) -> list[Field]:
    """Return a response's fields so that no shared cache keeps it, for its own client as they were.

    Out of ``Cache-Control`` go ``public`` and ``s-maxage``, and ``private`` comes in. One that
    can't be read becomes ``no-store``: each cache reads something else into it.
    """
    kept = [pair for pair in fields if not is_for_shared_caches(pair[0])]
    values = values_of(kept, CACHE_CONTROL)
    if not values:
        return [*kept, (CACHE_CONTROL, b"private")]
    directives = _directives(b",".join(values))
    if directives is None:
        return stored_nowhere(kept)
    left = {name: text for name, text in directives.items() if name not in _DROPPED}
    is_private = any(left.get(name) == name for name in _PRIVATE)
    if is_private and len(left) == len(directives):
        return kept
    if not is_private:
        left[b"private"] = b"private"
    first = next(at for at, pair in enumerate(kept) if pair[0] == CACHE_CONTROL)
    others = [pair for pair in kept if pair[0] != CACHE_CONTROL]
    others.insert(first, (CACHE_CONTROL, b", ".join(left.values())))
    return others


def stored_nowhere(fields: Fields) -> list[Field]:
    """Return a response's fields so that nobody keeps it, its own client included."""
    others = [
        pair for pair in fields if pair[0] != CACHE_CONTROL and not is_for_shared_caches(pair[0])
    ]
    return [*others, NO_STORE]


def _directives(value: bytes) -> dict[bytes, bytes] | None:
    """Return each directive as it stands, by its name in lower case; None where it can't be read.

    Of a directive that stands more than once the shortest counts for ``private``: the one that
    names no fields, and so is about the whole response. One that is longer than any honest app's
    isn't read: other requests would wait.
    """
    if len(value) > _LONGEST:
        return None
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(value):
        match = _DIRECTIVE.match(value, position)
        if match is None:
            return None
        position = match.end()
        if match[1] is None:
            continue
        name, text = match[1].lower(), match[0].strip(b" \t,")
        if text.lower() == name:
            text = name
        if name not in found:
            found[name] = text
        elif found[name].lower() != text.lower():
            if name not in _PRIVATE:
                return None
            found[name] = name
    return found
