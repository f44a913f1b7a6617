"""Strangers, peers and the owner's devices, on their way to an app of this Portal.

``app`` reads a request and has it admitted (``proxy.core.gate``); ``forward`` sends it to its app,
as ``app_request`` makes it, and the response back, of which ``app_response`` says what passes.
``dropped_names`` logs what doesn't. ``gateway`` opens envelopes, and ``sealed_response`` seals what
answers them; by callbacks ``envelope`` does, with ``opened_request`` and ``response_envelope``, and
``key_look`` where nobody knows the key. ``pairing_page`` and ``terminal_session`` are for browsers.
"""
