"""Other Pythons than the one that all tests run with: ``make test-pythons``.

``finding`` looks for them, and fetches them where the network allows it; ``round_trip`` is what two
Portals from the wheel do, and ``few_examples`` has the tests take minutes.
"""
