"""``python -m proxy``: the same as ``portal-proxy``."""

from proxy.cli import main

if __name__ == "__main__":
    main()
