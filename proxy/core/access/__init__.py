"""Who may reach what: an app's rules by path, the contacts, and which of our hosts is asked.

``manifest`` reads an app's own file as ``rules``; ``target`` has every interpretation of a path,
and ``decision`` the strictest rule for all of them. ``policy`` decides who may enter.
"""
