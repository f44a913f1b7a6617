"""What the proxy wrote and must find again, and no one else may read.

``files`` is how every file of it is read and written, ``file_watch`` how a running proxy follows
one, ``layout`` which is where, ``schema`` which version each is of, ``state_folder`` whether it can
be written to, ``checksum`` how a damaged one is known, ``system_errors`` how its owner is told what
the system had against one.
``identity_key`` is the Portal's key, ``backup_note`` when it was backed up, ``tokens`` the apps',
``replay`` the claimed nonces, in the database of ``replay_file``, by a ``boot_clock`` that nobody
sets, ``surplus_responses`` when an app answered twice,
``owner_token`` what the owner's commands show to the running proxy. ``contacts``, ``terminals`` and
``sealing_keys`` have folders of their own.
``running_note`` says where the proxy listens, ``acme_files`` what is kept of a certificate that it
got for itself.
``dumps`` keeps what is in memory from being copied to disk.
"""
