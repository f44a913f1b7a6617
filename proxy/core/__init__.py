"""Pure functions over bytes and frozen data: no I/O, no clock, no randomness of their own.

``gate`` is the order of checks, ``devices`` whose device asks, ``errors`` every refusal, ``epoch``
what a call is signed under, ``revocation`` what a running request lives on. ``app_fields`` is what
an app is told, ``log_line`` what the log tells. ``identity`` is a Portal's key and ID,
``identity_document`` how it shows itself, ``display_names`` what people call it, ``written_id`` its
ID as people copy it, and ``card`` what they give to friends; ``sealing_rotation`` says when a
sealing key is made and deleted, ``certificate_renewal`` when a certificate is renewed.
``rates`` is how often somebody may ask; ``record`` is by what most of the frozen data is made.

Nothing in here imports from the rest of the program; a linter holds that.
"""
