"""A plugin of pytest's: of generated examples a few will do.

Pythons differ in what they do at all, and the suite itself looks for the input that nobody thought
of. With all examples, each further Python would take as long as the first.
"""

from hypothesis import settings

_EXAMPLES = 10


def pytest_collection() -> None:
    """Go by another profile than the one that ``tests/conftest.py`` has loaded by now."""
    settings.register_profile("few", settings.get_profile("proxy"), max_examples=_EXAMPLES)
    settings.load_profile("few")
