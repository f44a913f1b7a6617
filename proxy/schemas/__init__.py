"""JSON Schemas of the files that people write, with which editors complete and check them.

``generator`` makes them: of the models by ``model_schema`` and ``manifest``, and of what the guides
say of each key by ``descriptions``. ``__main__`` writes them into this package. ``files`` hands
them out, and puts copies beside a Portal's files.
"""
