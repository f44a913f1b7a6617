"""``portal-proxy`` whose ``/proc`` files its own user can read: ``traceable.py ARGUMENT...``.

A proxy that holds keys is nobody's to trace but root's. Tests that count its descriptors without
being root need one that only makes no core. ``tests/state/test_dumps.py`` has the real thing.
"""

from proxy.state import dumps

dumps._set_undumpable = lambda: None

from proxy.cli.root import main  # noqa: E402 - what it loads must find the change made

if __name__ == "__main__":
    main()
