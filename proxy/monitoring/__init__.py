"""What the owner's monitoring asks for: numbers, as Prometheus reads them.

``families`` are their names and what they mean, ``figures`` collects what is so just now in this
process, and ``exposition`` writes all of it. What is counted, and how it is told between workers,
is in ``proxy.transfer``. No number is by a path, an address or an ID.
"""
