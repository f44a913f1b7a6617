"""Strangers, peers and the owner's devices, on their way to an app of this Portal.

``app`` is the listener, and a ``relay`` each of its requests: in their ``context`` it has it
admitted (``proxy.core.gate``) or tells it one of the ``refusals``. Its halves are
``request_forward``, which sends it to its app as ``app_request`` makes it, and
``response_forward``, back to who asked; ``app_response`` says what passes there.
``dropped_names`` logs what doesn't.
``signed_forward`` holds what is signed. ``envelope`` stands between a request that carries an
envelope and the one inside: ``opened_request`` opens it, ``response_envelope`` seals what answers,
and ``key_look`` looks for a key that nobody knows. ``pairing_page`` and ``terminal_session`` are
for browsers.
"""
