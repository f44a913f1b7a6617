"""The demo: three Portals that send each other postcards, as processes or in containers."""
