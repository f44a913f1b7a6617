"""Clients of many languages that call a peer, each in each form that there is: docs/clients.md.

A client's program stands in the folder of its language, ``catalogue`` says which there are.
"""
