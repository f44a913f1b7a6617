"""Faults as data, run against real Portals; ``python -m tests.more.faults`` makes the table.

Each row says what is done, what the proxy does, what its owner sees, and runs. ``catalogue`` has
the rows of all modules, ``fault`` what a row is, ``table`` what docs/reliability.md shows of it;
``stage`` starts the Portals, and ``load`` keeps them busy and knows what was carried out.
"""
