"""Who may reach what: an app's rules by path, the contacts, and which of our hosts is asked.

``manifest`` reads an app's own file, in the form of ``manifest_schema``, as ``rules`` with the
``template`` of each field. ``target`` has every interpretation of a path, some of them in
``plain_letters``, ``destination_header`` the second target of a request, and ``decision`` the
strictest rule for all of them. ``hosts`` tells which app is asked for, ``policy`` who may enter;
``call_routes`` is for an app's own calls, ``entrance`` for those that come without a token.
"""
