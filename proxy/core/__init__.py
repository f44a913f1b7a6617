"""Pure functions over bytes and frozen data: no I/O, no clock, no randomness of their own.

Nothing in here imports from the rest of ``proxy``; a linter holds that.
"""
