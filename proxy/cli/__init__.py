"""The command line, ``portal-proxy``: a file is named for its command.

They are ``apps``, ``backup``, ``call``, ``card``, ``check``, ``dev``, ``health``, ``init``,
``peers``, ``ping``, ``schema``, ``serve``, ``service``, ``status`` and ``terminals``. ``call_*``
are parts of ``call``, and likewise ``apps_*``, ``backup_*``, ``check_*``, ``dev_*``, ``health_*``,
``init_*``, ``peers_*``, ``ping_*``, ``service_*`` and ``status_*``; what several share is in
``framework``, ``option_variables``, ``arguments``, ``app_environment``, ``portal_files``,
``owner``, ``output``, ``progress``, ``qr`` and ``http_client``.
``root`` puts those together that are wanted.

Exit status: 0; 1 for a refusal, with its reason in a line on stderr; 2 for a command line that
can't be meant.
"""
