"""Certificates by ACME (RFC 8555): asked for and renewed, where no web server in front does it.

``order`` is what is asked for, and what is said about it between two processes. ``client`` is the
one that speaks with the authority, by certbot's library; it is started for each certificate and
ends with it. ``issuing`` starts it, and ``challenges`` answers the authority at port 80.
``advice`` says what to do where it failed.
"""
