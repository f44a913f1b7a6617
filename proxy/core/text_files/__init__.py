"""Text files that people and strangers write: parsed strictly, with every problem told at once.

``strict_json`` and ``strict_yaml`` parse what can't be read in two ways, ``schema`` checks what
they return against a model; ``duration``, ``rate`` and ``size`` are times, rates and sizes as they
are written, ``text`` is how a place in a file is shown. ``shape`` is what a JSON Schema says of
values that a check takes. Bytes come in: opening files is for others.
"""
