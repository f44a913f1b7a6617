"""What the owner and the authors of apps wrote: portal.yaml, the apps' files, the certificate.

Each file is read whole, checked, and all its problems are told at once. Nothing here writes.
"""
