"""What the owner and the authors of apps wrote: portal.yaml, the apps' files, the certificate.

``portal_yaml`` is the Portal's own file, with ``listen``, ``timeouts`` and ``limits`` in it, and
``environment`` the variables that stand for its keys;
``own_identity`` holds the key against the ID that it names, ``portal_yaml_edit`` is the text with
that ID put in, and ``portal_yaml_watch`` looks at the file while a proxy runs,
and ``reload`` says what of it can be taken over meanwhile;
``apps`` is the apps' folders, with the ``app_settings`` that the owner made for each, and
``apps_watch`` follows them; ``entrance`` is where one of them alone comes in;
``certificate`` is for TLS, read by ``certificate_pem``, and ``authorities`` are whom it is to
believe. ``acme`` is what the owner says of certificates that the proxy gets for itself.
``config_file`` is how any of them is read.

Each file is read whole, checked, and all its problems are told at once. Nothing here writes.
"""
