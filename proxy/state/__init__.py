"""What the proxy wrote and must find again: its key, contacts, terminals, tokens, claimed nonces.

``files`` is how every file of it is read and written, ``file_watch`` how a running proxy follows
one, ``layout`` which is where.
"""
