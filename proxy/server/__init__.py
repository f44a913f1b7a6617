"""The process: its parts put together, its sockets, its workers, its start and end.

``run`` is what the command serve does: it has ``compose`` put the parts of a ``running`` proxy
together, opens ``sockets`` (``address_holder`` finds who has an address that we can't have) and
runs a ``listener`` at each of them, in one process or in several ``workers``.
These know of each other by a ``worker_table``, and are ``orphans`` when the first process is gone.
``follower`` follows what changes on disk, ``followed`` says in which steps, with
``spare_descriptors`` for the time when there are no others, and ``token_files``. ``signals``
says what each signal does, ``reloading`` takes portal.yaml over at one of them, and
``service_manager`` is who started us and wants to hear how we are. ``quick_health`` is the command
health, as long as all is as usual. ``status`` tells the owner of everything.
``entrances`` are the listeners of single apps, which come and go: ``entrance_sockets`` opens theirs
on the network of the app alone (``interfaces`` tells which has an address), and ``handed_sockets``
is how workers get them.
``certifying`` gets the public listener's certificate and keeps it new, where the owner asks for
that. ``tuning`` is about memory.
"""
