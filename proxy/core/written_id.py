"""A Portal ID as people copy it: in groups of six characters, each followed by one that checks it.

``wtq270f-1hnz25x-...``: whoever types it wrong is told which group. The check character is that of
the Luhn algorithm modulo 32 over the group, which begins with the group's number, so that two
groups that changed places are noticed as well (docs/protocol.md, section 1). It catches mistakes
and no forger: what proves a Portal is its key.
"""

from proxy.core.identity import ALPHABET, ID_LENGTH, is_portal_id

GROUP = 6
"""Characters of the ID in a group; the first group is the short ID."""

GROUPS = -(-ID_LENGTH // GROUP)
_CHECKED_LENGTH = ID_LENGTH + GROUPS
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


class MistypedId(ValueError):
    """What was typed isn't an ID; the message names the group in which it is wrong."""


def write_id(portal_id: str) -> str:
    """Return a full ID in groups with their check characters, joined by hyphens."""
    groups = (portal_id[at : at + GROUP] for at in range(0, ID_LENGTH, GROUP))
    return "-".join(f"{group}{_check(group, number)}" for number, group in enumerate(groups, 1))


def read_id(text: str) -> str | None:
    """Return the full ID that ``text`` is, in either form; None where its length is of neither.

    Spaces, hyphens and the case don't count: people copy from paper and from messages. Raises
    ``MistypedId``.
    """
    typed = "".join(text.replace("-", "").split()).lower()
    if is_portal_id(typed):
        return typed
    if len(typed) != _CHECKED_LENGTH:
        return None
    step = GROUP + 1
    groups = [typed[at : at + step] for at in range(0, _CHECKED_LENGTH, step)]
    for number, group in enumerate(groups, 1):
        strange = [character for character in group if character not in _VALUES]
        if strange:
            raise MistypedId(
                f"group {number} of {GROUPS}, {group!r}, has {strange[0]!r}, which is in no ID: "
                "IDs are made of a to z without i, m, o and u, and of 0 to 9"
            )
        if _check(group[:-1], number) != group[-1]:
            raise MistypedId(f"group {number} of {GROUPS}, {group!r}, has a mistake: compare it")
    return "".join(group[:-1] for group in groups)


def _check(group: str, number: int) -> str:
    """Return the check character of the group with this number, counted from 1."""
    base = len(ALPHABET)
    total, factor = 0, 2
    for value in (number, *map(_VALUES.__getitem__, group))[::-1]:
        addend = factor * value
        total += addend // base + addend % base
        factor = 3 - factor
    return ALPHABET[-total % base]
