"""The owner's devices (terminals), without a socket, a file, a clock or chance.

``cookie`` is how a browser shows its token, ``initiator`` which page made it do so, ``terminals``
whose token it is, ``pairing`` how a code makes a new one, and how guessing codes is throttled.
"""
