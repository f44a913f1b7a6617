"""Other people's apps, as they come from PyPI, behind a Portal and driven by their own clients."""
